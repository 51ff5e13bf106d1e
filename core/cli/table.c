/* See table.h. */
#include "cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static int is_start(char c)
{
	return ((unsigned char)c & 0xC0) != 0x80;
}

/* Characters, of valid UTF-8. */
static size_t width(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += (size_t)is_start(*text);
	return n;
}

static char *cell(const char *text)
{
	size_t n = 0, bytes = 0;
	char *own = malloc(strlen(text) + 4);
	if (!own)
		return NULL;
	for (; *text; text++) {
		if (is_start(*text) && n++ == SG_TABLE_CELL - 1 && width(text) > 1) {
			memcpy(own + bytes, "…", 3);
			bytes += 3;
			break;
		}
		own[bytes++] = (unsigned char)*text < ' ' || *text == 127 ? ' ' : *text;
	}
	own[bytes] = '\0';
	return own;
}

void sg_table_init(struct sg_cli_table *t, size_t columns, const char *const *headings)
{
	*t = (struct sg_cli_table){.columns = columns};
	sg_table_row(t, headings);
}

void sg_table_row(struct sg_cli_table *t, const char *const *cells)
{
	if (t->failed)
		return;
	if (t->rows == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 16;
		char **p = reallocarray(t->cells, cap * t->columns, sizeof(*p));
		t->failed = !p;
		if (!p)
			return;
		t->cells = p;
		t->cap = cap;
	}
	char **row = t->cells + t->rows++ * t->columns;
	for (size_t i = 0; i < t->columns; i++) {
		row[i] = cell(cells[i] ? cells[i] : "");
		t->failed = t->failed || !row[i];
	}
}

static void measure(const struct sg_cli_table *t, size_t widths[SG_TABLE_COLUMNS])
{
	for (size_t r = 0; r < t->rows; r++)
		for (size_t i = 0; i < t->columns; i++) {
			size_t n = width(t->cells[r * t->columns + i]);
			widths[i] = n > widths[i] ? n : widths[i];
		}
}

/* The last column is not padded. */
static void print_row(const struct sg_cli_table *t, size_t r, const size_t *widths)
{
	for (size_t i = 0; i < t->columns; i++) {
		const char *text = t->cells[r * t->columns + i];
		(void)fputs(text, stdout);
		if (i + 1 < t->columns)
			(void)printf("%*s", (int)(widths[i] - width(text)) + 2, "");
	}
	(void)putchar('\n');
}

int sg_table_print(struct sg_cli_table *t)
{
	size_t widths[SG_TABLE_COLUMNS] = {0};
	int failed = t->failed;
	if (!failed) {
		measure(t, widths);
		for (size_t r = 0; r < t->rows; r++)
			print_row(t, r, widths);
	}
	for (size_t i = 0; i < t->rows * t->columns; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct sg_cli_table){0};
	return failed ? -SG_ENOMEM : ferror(stdout) ? -SG_EIO : 0;
}
