/* The operator's log: one line an event on standard error, UTC, for main programs and handlers.
 * Library code returns errors instead. The only global state in the core. */
#ifndef SG_BASE_LOG_H
#define SG_BASE_LOG_H

enum sg_log_level { SG_LOG_ERROR, SG_LOG_WARNING, SG_LOG_INFO, SG_LOG_DEBUG };
enum sg_log_format { SG_LOG_TEXT, SG_LOG_JSON };

void sg_log_setup(enum sg_log_level max, enum sg_log_format format);
/* Thread-safe: one write(2) a line. Control characters in the text are escaped. */
void sg_log(enum sg_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
