/* The operator's log. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

static enum sg_log_level max_level = SG_LOG_INFO;
static enum sg_log_format out_format = SG_LOG_TEXT;

void sg_log_setup(enum sg_log_level max, enum sg_log_format format)
{
	max_level = max;
	out_format = format;
}

static void escape_controls(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

void sg_log(enum sg_log_level level, const char *fmt, ...)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	if (level > max_level)
		return;
	char text[2048];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	escape_controls(text);
	char when[SG_TIME_TEXT];
	sg_time_format(sg_clock_utc_us(), when);
	sg_autobuf line = SG_BUF_INIT(16384);
	if (out_format == SG_LOG_JSON) {
		sg_buf_addf(
			&line, "{\"ts\":\"%s\",\"level\":\"%s\",\"message\":", when, names[level]);
		sg_buf_add_json_string(&line, text, strlen(text));
		sg_buf_adds(&line, "}\n");
	} else {
		sg_buf_addf(&line, "%s %s %s\n", when, names[level], text);
	}
	if (!line.failed && write(STDERR_FILENO, line.data, line.len) < 0)
		return; /* nowhere left to say it */
}
