/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3ctl_out: what people see: text fit for a terminal, tables, a line of progress.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "daemon/f3ctl.h"
#include "fs/base/clock.h"
#include "fs/base/conf.h"
#include "fs/base/text.h"

#define TEXT_MAX (16u << 20)
#define PROGRESS_WIDTH_MAX 200u

static void say(const struct f3ctl *ctl, const char *fmt, va_list ap)
{
	fprintf(stderr, "f3ctl: ");
	if (ctl && ctl->verb)
		fprintf(stderr, "%s: ", ctl->verb->name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int f3ctl_fail(const struct f3ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(ctl, fmt, ap);
	va_end(ap);
	return F3CTL_FAILED;
}

int f3ctl_usage(const struct f3ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(ctl, fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try f3ctl %s%s-h.\n", ctl && ctl->verb ? ctl->verb->name : "",
		ctl && ctl->verb ? " " : "");
	return F3CTL_USAGE;
}

void f3ctl_print_json(const json_t *value)
{
	if (json_dumpf(value, stdout, JSON_COMPACT) == 0)
		putchar('\n');
	/* Who reads along sees each line when it is there. */
	fflush(stdout);
}

/* ---- Text ------------------------------------------------------------------------------------ */

void f3ctl_text(const json_t *object, const char *key, struct f3_buf *out)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_string(value))
		f3_text_escape(out, json_string_value(value), json_string_length(value),
			       F3_ESCAPE_LINE);
	else if (json_is_integer(value))
		f3_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		f3_buf_printf(out, "%.1f", json_real_value(value));
	else if (json_is_boolean(value))
		f3_buf_printf(out, "%s", json_is_true(value) ? "yes" : "no");
	else
		f3_buf_printf(out, "-");
}

void f3ctl_bytes(const json_t *object, const char *key, struct f3_buf *out)
{
	char text[32];

	f3_format_bytes(f3ctl_u64(object, key), text, sizeof(text));
	f3_buf_printf(out, "%s", text);
}

uint64_t f3ctl_u64(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(object, key));

	return n > 0 ? (uint64_t)n : 0;
}

/* A path as the daemon showed it: already escaped where it is not UTF-8. */
static void put_shown(const json_t *item, const char *key, struct f3_buf *out)
{
	const char *text = json_string_value(json_object_get(item, key));
	char hex[64];

	snprintf(hex, sizeof(hex), "%s_hex", key);
	if (!text)
		return;
	if (json_object_get(item, hex))
		f3_buf_put(out, text, strlen(text));
	else
		f3_text_escape(out, text, strlen(text), F3_ESCAPE_LINE);
}

void f3ctl_item_path(struct f3ctl *ctl, const json_t *item, struct f3_buf *out)
{
	const char *path = json_string_value(json_object_get(item, "path"));

	if (ctl->mount)
		put_shown(ctl->mount, "mountpoint", out);
	if (json_object_get(item, "volume")) {
		f3_buf_put_u8(out, '/');
		put_shown(item, "volume", out);
	}
	if (path && strcmp(path, "/") != 0)
		put_shown(item, "path", out);
}

/* Columns on a terminal; bytes where the locale knows no more. */
static size_t width_of(const char *text)
{
	size_t n = mbstowcs(NULL, text, 0);
	wchar_t *wide;
	int width = -1;

	if (n == (size_t)-1)
		return strlen(text);
	wide = calloc(n + 1, sizeof(*wide));
	if (wide && mbstowcs(wide, text, n) != (size_t)-1)
		width = wcswidth(wide, n);
	free(wide);
	return width >= 0 ? (size_t)width : strlen(text);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

void f3ctl_table_init(struct f3ctl_table *t, const char *const *headings)
{
	memset(t, 0, sizeof(*t));
	t->headings = headings;
	while (headings[t->columns])
		t->columns++;
}

void f3ctl_table_cell(struct f3ctl_table *t, const char *text)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		char **cells = reallocarray(t->cells, cap, sizeof(*cells));

		if (!cells) {
			t->failed = true;
			return;
		}
		t->cells = cells;
		t->cap = cap;
	}
	t->cells[t->n] = strdup(text);
	if (t->cells[t->n])
		t->n++;
	else
		t->failed = true;
}

void f3ctl_table_cell_buf(struct f3ctl_table *t, struct f3_buf *text)
{
	f3_buf_put_u8(text, 0);
	f3ctl_table_cell(t, text->error ? "?" : (const char *)text->data);
	f3_buf_reset(text);
}

static const char *heading(const struct f3ctl_table *t, size_t column)
{
	const char *h = t->headings[column];

	return h[0] == '>' ? h + 1 : h;
}

static void put_cell(const struct f3ctl_table *t, size_t column, const char *text, size_t width)
{
	size_t have = width_of(text), pad = width > have ? width - have : 0;
	bool right = t->headings[column][0] == '>', last = column + 1 == t->columns;

	if (right)
		printf("%*s", (int)pad, "");
	fputs(text, stdout);
	if (last)
		putchar('\n');
	else
		printf("%*s", (int)(right ? 2 : pad + 2), "");
}

void f3ctl_table_print(const struct f3ctl_table *t, bool with_heading)
{
	size_t *widths = calloc(t->columns, sizeof(*widths)), rows = t->n / t->columns;

	if (!widths)
		return;
	for (size_t c = 0; c < t->columns; c++) {
		widths[c] = width_of(heading(t, c));
		for (size_t r = 0; r < rows; r++) {
			size_t width = width_of(t->cells[r * t->columns + c]);

			if (width > widths[c])
				widths[c] = width;
		}
	}
	for (size_t c = 0; with_heading && c < t->columns; c++)
		put_cell(t, c, heading(t, c), widths[c]);
	for (size_t r = 0; r < rows; r++)
		for (size_t c = 0; c < t->columns; c++)
			put_cell(t, c, t->cells[r * t->columns + c], widths[c]);
	free(widths);
}

void f3ctl_table_reset(struct f3ctl_table *t)
{
	while (t->n)
		free(t->cells[--t->n]);
}

void f3ctl_table_done(struct f3ctl_table *t)
{
	f3ctl_table_reset(t);
	free(t->cells);
	t->cells = NULL;
}

/* ---- Progress -------------------------------------------------------------------------------- */

void f3ctl_progress_init(struct f3ctl_progress *p, const struct f3ctl *ctl)
{
	*p = (struct f3ctl_progress){ .on = ctl->err_tty && !ctl->json,
				      .began_ns = f3_clock_mono_ns() };
}

static void put_bar(struct f3_buf *out, double share, unsigned width)
{
	unsigned full = (unsigned)(share * width + 0.5);

	f3_buf_put_u8(out, '[');
	for (unsigned i = 0; i < width; i++)
		f3_buf_put_u8(out, i < full ? '#' : '.');
	f3_buf_printf(out, "] %3.0f%%  ", share * 100);
}

void f3ctl_progress_text(const struct f3ctl_progress *p, uint64_t now_ns, unsigned width,
			 struct f3_buf *out)
{
	double seconds = now_ns > p->began_ns ? (double)(now_ns - p->began_ns) / 1e9 : 0;
	double share = p->total_bytes ? (double)p->bytes / (double)p->total_bytes :
		       p->total       ? (double)p->files / (double)p->total :
					0;
	char bytes[32], rate[32];

	if (share > 1)
		share = 1;
	if (p->total || p->total_bytes)
		put_bar(out, share, width > 70 ? 30 : 10);
	f3_buf_printf(out, "%" PRIu64, p->files);
	if (p->total)
		f3_buf_printf(out, "/%" PRIu64, p->total);
	f3_buf_printf(out, " files");
	if (p->bytes) {
		f3_format_bytes(p->bytes, bytes, sizeof(bytes));
		f3_buf_printf(out, "  %s", bytes);
		if (seconds >= 0.5) {
			f3_format_bytes((uint64_t)((double)p->bytes / seconds), rate, sizeof(rate));
			f3_buf_printf(out, "  %s/s", rate);
		}
	}
	if (out->len > width)
		out->len = width;
}

static unsigned terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20)
		return 79;
	return size.ws_col - 1u < PROGRESS_WIDTH_MAX ? size.ws_col - 1u : PROGRESS_WIDTH_MAX;
}

void f3ctl_progress_show(struct f3ctl_progress *p, const json_t *line)
{
	struct f3_buf text;

	if (!p->on)
		return;
	p->files = f3ctl_u64(line, "files");
	p->total = f3ctl_u64(line, "total");
	p->bytes = f3ctl_u64(line, "bytes");
	p->total_bytes = f3ctl_u64(line, "total_bytes");
	f3_buf_init(&text, 1024);
	if (json_object_get(line, "journal_entries"))
		f3_buf_printf(&text, "waiting for %" PRIu64 " changes, %" PRIu64 " tried before",
			      f3ctl_u64(line, "journal_entries"), f3ctl_u64(line, "retrying"));
	else
		f3ctl_progress_text(p, f3_clock_mono_ns(), terminal_width(), &text);
	fprintf(stderr, "\r\033[K%.*s", (int)text.len, (const char *)text.data);
	f3_buf_done(&text);
	p->shown = true;
}

void f3ctl_progress_clear(struct f3ctl_progress *p)
{
	if (p->shown)
		fprintf(stderr, "\r\033[K");
	p->shown = false;
}
