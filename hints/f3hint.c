/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3hint: hints from a shell. Each verb is one request; answers are printed as they are, a line each.
 *
 * The table of verbs feeds --help, the manual page and the completion.
 */
#include "config.h"

#include "hints/f3hint.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <popt.h>

#include "hints/wire.h"

#define SECONDS_MAX 86400

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

struct verb {
	const char *name;
	const char *args; /* as --help shows them; NULL: none */
	const char *help;
	const char *more;
	bool paths; /* from the second argument on */
	int (*run)(struct f3hint *h, int argc, const char *const *argv);
};

static char *opt_socket, *opt_print;
static int opt_timeout_s = F3HINT_TIMEOUT_MS / 1000, opt_help, opt_version;

static struct poptOption options[] = {
	{ "socket", 's', POPT_ARG_STRING, &opt_socket, 0, "the daemon's hint socket", "SOCKET" },
	{ "timeout", 't', POPT_ARG_INT, &opt_timeout_s, 0,
	  "seconds to wait for an answer; 0: for ever", "SECONDS" },
	{ "help", 'h', POPT_ARG_NONE, &opt_help, 0, "print this and exit", NULL },
	{ "version", 'V', POPT_ARG_NONE, &opt_version, 0, "print the version and exit", NULL },
	/* for the build: mdoc, completion, names */
	{ "print", '\0', POPT_ARG_STRING | POPT_ARGFLAG_DOC_HIDDEN, &opt_print, 0, NULL, NULL },
	POPT_TABLEEND,
};

/* ---- Verbs ----------------------------------------------------------------------------------- */

static int usage(const char *message)
{
	fprintf(stderr, "f3hint: %s (f3hint -h tells more)\n", message);
	return EXIT_USAGE;
}

static int show(struct f3hint *h, int r, const char *answer)
{
	if (answer)
		printf("%s\n", answer);
	if (!r)
		return EXIT_OK;
	fprintf(stderr, "f3hint: %s\n", f3hint_reason(h));
	return EXIT_FAILED;
}

static int run_hello(struct f3hint *h, int argc, const char *const *argv)
{
	const char *answer = NULL;
	int r = f3hint_ask(h, "{\"op\":\"hello\",\"version\":1}", &answer);

	(void)argv;
	return argc ? usage("hello takes no arguments") : show(h, r, answer);
}

static int run_status(struct f3hint *h, int argc, const char *const *argv)
{
	const char *answer = NULL;
	int r = f3hint_ask(h, "{\"op\":\"status\"}", &answer);

	(void)argv;
	return argc ? usage("status takes no arguments") : show(h, r, answer);
}

static int run_locate(struct f3hint *h, int argc, const char *const *argv)
{
	const char *answer = NULL;
	int r;

	if (argc < 2)
		return usage("locate wants a volume and paths in it");
	r = f3hint_locate(h, argv[0], argv + 1, (size_t)argc - 1, &answer);
	return show(h, r, answer);
}

static int run_prefetch(struct f3hint *h, int argc, const char *const *argv)
{
	const char *answer = NULL;
	int r;

	if (argc < 2)
		return usage("prefetch wants a volume and paths in it");
	r = f3hint_prefetch(h, argv[0], argv + 1, (size_t)argc - 1, &answer);
	return show(h, r, answer);
}

/* False: none has come within the time. */
static bool take_one(struct f3hint *h, int timeout_ms, int *code)
{
	const char *answer = NULL;
	uint64_t id;
	int r = f3hint_receive(h, timeout_ms, &id, &answer);

	if (r == -ENOMSG || r == -ETIMEDOUT)
		return false;
	if (show(h, r, answer))
		*code = EXIT_FAILED;
	return true;
}

static int send_line(struct f3hint *h, const char *line, size_t len, int code)
{
	char *text = f3_hint_blank(line, len) ? NULL : strndup(line, len);
	uint64_t id;
	int r = 0;

	while (f3hint_pending(h) == F3HINT_PENDING_MAX && take_one(h, -1, &code))
		;
	if (text)
		r = f3hint_send(h, text, &id);
	free(text);
	return r ? show(h, r, NULL) : code;
}

/* Lines that are here go one after the other; answers are printed when they come. */
static int send_lines(struct f3hint *h, struct f3_hint_lines *in)
{
	int code = EXIT_OK, r;
	const char *line;
	char bytes[4096];
	ssize_t n = 1;
	size_t len;

	while (n > 0) {
		struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
				       { .fd = -1, .events = POLLIN } };

		while ((r = f3_hint_lines_next(in, &line, &len)) != 0) {
			if (r > 0)
				code = send_line(h, line, len, code);
			else
				fprintf(stderr, "f3hint: a line is too long\n");
			if (r < 0)
				code = EXIT_FAILED;
			while (take_one(h, 0, &code))
				;
		}
		fflush(stdout);
		if (f3hint_pending(h))
			p[1].fd = f3hint_fd(h);
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		while (p[1].revents && take_one(h, 0, &code))
			;
		if (!p[0].revents)
			continue;
		n = read(STDIN_FILENO, bytes, sizeof(bytes));
		if (n > 0 && f3_hint_lines_put(in, bytes, (size_t)n))
			n = -1;
	}
	if (f3_hint_lines_last(in, &line, &len))
		code = send_line(h, line, len, code);
	while (take_one(h, -1, &code))
		;
	if (f3hint_pending(h)) {
		fprintf(stderr, "f3hint: %u answers did not come in time\n", f3hint_pending(h));
		code = EXIT_FAILED;
	}
	return n < 0 ? EXIT_FAILED : code;
}

static int run_send(struct f3hint *h, int argc, const char *const *argv)
{
	struct f3_hint_lines in;
	int code = EXIT_OK;

	for (int i = 0; i < argc; i++) {
		const char *answer = NULL;
		int r = f3hint_ask(h, argv[i], &answer);

		if (show(h, r, answer))
			code = EXIT_FAILED;
	}
	if (argc)
		return code;
	f3_hint_lines_init(&in);
	code = send_lines(h, &in);
	f3_hint_lines_done(&in);
	return code;
}

/* ---- Verbs whose request is put together here ------------------------------------------------ */

/* Takes over the request. */
static int ask(struct f3hint *h, json_t *request)
{
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	const char *answer = NULL;
	int r;

	json_decref(request);
	if (!text) {
		fprintf(stderr, "f3hint: an argument is no text in UTF-8, or there is no memory\n");
		return EXIT_FAILED;
	}
	r = f3hint_ask(h, text, &answer);
	free(text);
	return show(h, r, answer);
}

static int run_bind(struct f3hint *h, int argc, const char *const *argv)
{
	const char *mode = argc >= 5 ? argv[4] : "rw", *answer = NULL;
	char *end = "";
	long pid = 0;
	int r;

	if (argc == 6)
		pid = strtol(argv[5], &end, 10);
	if (argc < 3 || argc > 6 || (strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0) || *end ||
	    pid < 0 || pid > INT_MAX)
		return usage(
			"bind: a view, a namespace and a volume are wanted, maybe a path, ro or "
			"rw, and the number of a process");
	r = f3hint_bind(h, argv[0], argv[1], argv[2], argc > 3 ? argv[3] : "/", mode, NULL,
			(int)pid, &answer);
	return show(h, r, answer);
}

static int run_unbind(struct f3hint *h, int argc, const char *const *argv)
{
	if (argc != 1)
		return usage("unbind: one view is wanted");
	return ask(h, json_pack("{ss ss}", "op", "unbind", "view", argv[0]));
}

static int run_begin(struct f3hint *h, int argc, const char *const *argv)
{
	json_t *request;

	if (argc < 4 || argc > 5)
		return usage("begin: an id, a namespace, an action and a view are wanted");
	request = argc == 5 ? json_loads(argv[4], JSON_REJECT_DUPLICATES, NULL) : json_object();
	if (!json_is_object(request)) {
		json_decref(request);
		return usage("begin: what comes last is no JSON object");
	}
	json_object_set_new(request, "op", json_string("begin"));
	json_object_set_new(request, "activation", json_string(argv[0]));
	json_object_set_new(request, "namespace", json_string(argv[1]));
	json_object_set_new(request, "action", json_string(argv[2]));
	if (strcmp(argv[3], "-") != 0)
		json_object_set_new(request, "view", json_string(argv[3]));
	return ask(h, request);
}

static int run_end(struct f3hint *h, int argc, const char *const *argv)
{
	if (argc != 2 || (strcmp(argv[1], "ok") != 0 && strcmp(argv[1], "failed") != 0))
		return usage("end: an id, and ok or failed are wanted");
	return ask(h, json_pack("{ss ss sb}", "op", "end", "activation", argv[0], "ok",
				!strcmp(argv[1], "ok")));
}

static const struct verb verbs[] = {
	{ .name = "hello",
	  .help = "ask who answers, and which operations there are",
	  .run = run_hello },
	{ .name = "status", .help = "ask what the node is doing", .run = run_status },
	{ .name = "locate",
	  .args = "VOLUME PATH...",
	  .help = "ask where the bytes of files are",
	  .more = "Paths begin with a slash and are inside the volume.",
	  .paths = true,
	  .run = run_locate },
	{ .name = "prefetch",
	  .args = "VOLUME PATH...",
	  .help = "have files fetched before they are read",
	  .more = "Returns when that has begun.",
	  .paths = true,
	  .run = run_prefetch },
	{ .name = "bind",
	  .args = "VIEW NAMESPACE VOLUME [PATH [ro|rw [PID]]]",
	  .help = "show a directory of a volume in run-dir/views/VIEW",
	  .more = "PID is a process of its container, for begin.",
	  .run = run_bind },
	{ .name = "unbind", .args = "VIEW", .help = "take it away again", .run = run_unbind },
	{ .name = "begin",
	  .args = "ID NAMESPACE ACTION VIEW [JSON]",
	  .help = "tell that a run of a function begins in the container of a view",
	  .more = "JSON is an object with what else there is to say: outputs, inputs and so on, see "
		  "f3-hint-protocol(7). A view that is - is none: then it has container and volume.",
	  .run = run_begin },
	{ .name = "end", .args = "ID ok|failed", .help = "tell that it has ended", .run = run_end },
	{ .name = "send",
	  .args = "[JSON]...",
	  .help = "send requests as they are, those of standard input without arguments",
	  .more = "One object a line. Lines of standard input are sent without waiting for the answer to "
		  "the one before; the ids in answers count up in the order of the lines.",
	  .run = run_send },
	{ .name = NULL },
};

/* ---- What is made from the table ------------------------------------------------------------- */

static void print_mdoc(void)
{
	for (const struct verb *v = verbs; v->name; v++) {
		printf(".It Ic %s", v->name);
		if (v->args)
			printf(" Li \"%s\"", v->args);
		printf("\n%c%s.\n", v->help[0] - 32, v->help + 1);
		for (const char *at = v->more; at && *at; at++)
			putchar(*at == ' ' && at[-1] == '.' ? '\n' : *at);
		if (v->more)
			putchar('\n');
	}
}

static void print_completion(void)
{
	printf("\tlocal verbs='");
	for (const struct verb *v = verbs; v->name; v++)
		printf("%s%s", v == verbs ? "" : " ", v->name);
	printf("' with_paths='");
	for (const struct verb *v = verbs; v->name; v++)
		if (v->paths)
			printf(" %s", v->name);
	printf(" '\n");
}

static int print_table(const char *what)
{
	if (!strcmp(what, "mdoc"))
		print_mdoc();
	else if (!strcmp(what, "completion"))
		print_completion();
	else if (!strcmp(what, "names"))
		for (const struct verb *v = verbs; v->name; v++)
			printf("%s\n", v->name);
	else
		return usage("--print: there is mdoc, completion, names");
	return EXIT_OK;
}

static void print_help(poptContext ctx)
{
	poptPrintHelp(ctx, stdout, 0);
	printf("\nVerbs:\n");
	for (const struct verb *v = verbs; v->name; v++) {
		char head[64];

		snprintf(head, sizeof(head), "%s %s", v->name, v->args ? v->args : "");
		printf("  %-26s %s\n", head, v->help);
	}
}

/* ---- The command line ------------------------------------------------------------------------ */

static int run(const char **args)
{
	const struct verb *verb = verbs;
	struct f3hint *h;
	int n = 0, code;

	if (!args || !args[0])
		return usage("which verb?");
	while (verb->name && strcmp(verb->name, args[0]) != 0)
		verb++;
	if (!verb->name)
		return usage("there is no such verb");
	if (opt_timeout_s < 0 || opt_timeout_s > SECONDS_MAX)
		return usage("--timeout: 0 to 86400 seconds");
	while (args[n])
		n++;
	h = f3hint_new(opt_socket);
	if (!h)
		return usage("--socket: the path is too long");
	f3hint_set_timeout(h, (unsigned)opt_timeout_s * 1000);
	code = verb->run(h, n - 1, args + 1);
	f3hint_free(h);
	return code;
}

int main(int argc, const char **argv)
{
	poptContext ctx = poptGetContext("f3hint", argc, argv, options, POPT_CONTEXT_POSIXMEHARDER);
	int c, code;

	if (!ctx)
		return EXIT_FAILED;
	poptSetOtherOptionHelp(ctx, "[OPTIONS] VERB [ARGUMENTS]");
	c = poptGetNextOpt(ctx);
	if (c < -1) {
		fprintf(stderr, "f3hint: %s: %s\n", poptBadOption(ctx, 0), poptStrerror(c));
		code = EXIT_USAGE;
	} else if (opt_help) {
		print_help(ctx);
		code = EXIT_OK;
	} else if (opt_version) {
		printf("f3hint %s\n", f3hint_version());
		code = EXIT_OK;
	} else if (opt_print) {
		code = print_table(opt_print);
	} else {
		code = run(poptGetArgs(ctx));
	}
	poptFreeContext(ctx);
	free(opt_socket);
	free(opt_print);
	/* Output that went nowhere is not success. */
	if (fflush(stdout) && code == EXIT_OK)
		code = EXIT_FAILED;
	return code;
}
