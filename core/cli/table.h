/* A table of texts on standard output, its columns as wide as their longest cell. */
#ifndef SG_CLI_TABLE_H
#define SG_CLI_TABLE_H

#include <stddef.h>

#define SG_TABLE_COLUMNS 10
#define SG_TABLE_CELL 60 /* characters; what is longer ends with "…" */

struct sg_cli_table {
	char **cells; /* owned, rows × columns */
	size_t columns, rows, cap;
	int failed; /* out of memory: nothing is printed */
};

/* headings: columns texts, at most SG_TABLE_COLUMNS; they are the first row. */
void sg_table_init(struct sg_cli_table *t, size_t columns, const char *const *headings);
/* Copies the texts; NULL is empty; line breaks and control characters become spaces. */
void sg_table_row(struct sg_cli_table *t, const char *const *cells);
/* Prints and empties it. -SG_ENOMEM, -SG_EIO. */
int sg_table_print(struct sg_cli_table *t);

#endif
