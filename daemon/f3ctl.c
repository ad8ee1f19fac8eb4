/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/conf.h"

#define CONFIG_DEFAULT "/etc/f3/f3.conf"
#define VERB_OPTIONS_MAX 16

extern char **environ;

/* Where the options of every verb go. */
static char *opt_socket, *opt_print;
static int opt_json, opt_help, opt_version;

/* clang-format off */
#define COMMON \
	{ "socket", 's', POPT_ARG_STRING, &opt_socket, 0, "the daemon's control socket", "SOCKET" }, \
	{ "json", '\0', POPT_ARG_NONE, &opt_json, 0, "JSON for programs, one object a line", NULL }, \
	{ "help", 'h', POPT_ARG_NONE, &opt_help, 0, "print this and exit", NULL }
/* clang-format on */

static struct poptOption common_options[] = { COMMON, POPT_TABLEEND };

static struct poptOption top_options[] = {
	COMMON,
	{ "version", 'V', POPT_ARG_NONE, &opt_version, 0, "print the version and exit", NULL },
	/* for the build: mdoc, options, completion, names */
	{ "print", '\0', POPT_ARG_STRING | POPT_ARGFLAG_DOC_HIDDEN, &opt_print, 0, NULL, NULL },
	POPT_TABLEEND,
};

/* ---- What is made from the tables ------------------------------------------------------------ */

static void print_verbs(void)
{
	printf("\nVerbs (f3ctl VERB -h tells more):\n");
	for (const struct f3ctl_verb *v = f3ctl_verbs; v->name; v++)
		printf("  %-10s %s\n", v->name, v->help);
}

static void print_names(void)
{
	for (const struct f3ctl_verb *v = f3ctl_verbs; v->name; v++)
		printf("%s\n", v->name);
}

/* One arm of a case for each verb: its options, what its arguments are, and which words. */
static void print_completion(void)
{
	static const char *const kinds[] = { "nothing", "paths", "words", "word-then-paths" };

	printf("\tlocal verbs='");
	for (const struct f3ctl_verb *v = f3ctl_verbs; v->name; v++)
		printf("%s%s", v == f3ctl_verbs ? "" : " ", v->name);
	printf("'\n\tcase $verb in\n");
	for (const struct f3ctl_verb *v = f3ctl_verbs; v->name; v++) {
		printf("\t%s) options='", v->name);
		for (const struct poptOption *o = v->options; o && (o->longName || o->shortName);
		     o++) {
			if (o->shortName)
				printf("-%c ", o->shortName);
			if (o->longName)
				printf("--%s ", o->longName);
		}
		printf("' kind=%s words_of='%s' ;;\n", kinds[v->completes],
		       v->words ? v->words : "");
	}
	printf("\tesac\n");
}

/* Running text for mdoc(7), each sentence on a line of its own. */
static void print_roff(const char *text)
{
	for (const char *at = text; *at; at++) {
		if (at == text && (*at == '.' || *at == '\''))
			printf("\\&");
		if (*at == '-')
			printf("\\-");
		else if (*at == '\\')
			printf("\\e");
		else if (*at == ' ' && at > text && at[-1] == '.')
			printf("\n");
		else
			putchar(*at);
	}
	printf("\n");
}

static void print_mdoc(void)
{
	for (const struct f3ctl_verb *v = f3ctl_verbs; v->name; v++) {
		bool options = v->options && (v->options->longName || v->options->shortName);

		printf(".It Ic %s", v->name);
		if (options || v->args)
			printf(" Li \"%s%s%s\"", options ? "[options]" : "",
			       options && v->args ? " " : "", v->args ? v->args : "");
		printf("\n%c", v->help[0] - ('a' <= v->help[0] && v->help[0] <= 'z' ? 32 : 0));
		printf("%s.\n", v->help + 1);
		if (v->more)
			print_roff(v->more);
		if (!options)
			continue;
		printf(".Bl -tag -width Ds -compact\n");
		for (const struct poptOption *o = v->options; o->longName || o->shortName; o++) {
			printf(".It ");
			if (o->shortName)
				printf("Fl %c", o->shortName);
			if (o->longName)
				printf("%sFl Fl %s", o->shortName ? " , " : "", o->longName);
			if (o->argDescrip)
				printf(" Ar %s", o->argDescrip);
			printf("\n");
			print_roff(o->descrip);
		}
		printf(".El\n");
	}
}

static int print_options(void)
{
	struct f3_buf text;
	int r;

	f3_buf_init(&text, 1u << 20);
	f3_conf_print_help(true, &text);
	r = text.error || fwrite(text.data, 1, text.len, stdout) != text.len;
	f3_buf_done(&text);
	return r ? F3CTL_FAILED : F3CTL_OK;
}

static int print_table(const char *what)
{
	if (!strcmp(what, "mdoc"))
		print_mdoc();
	else if (!strcmp(what, "completion"))
		print_completion();
	else if (!strcmp(what, "names"))
		print_names();
	else if (!strcmp(what, "options"))
		return print_options();
	else
		return f3ctl_usage(NULL, "--print=%s: there is mdoc, completion, names, options",
				   what);
	return F3CTL_OK;
}

/* ---- Where the daemon listens ---------------------------------------------------------------- */

static char *default_socket(void)
{
	struct f3_conf *conf;
	char *path = NULL;

	if (f3_conf_new(&conf))
		return NULL;
	/* A configuration that cannot be read is the daemon's trouble; this is only where to look. */
	if (access(CONFIG_DEFAULT, R_OK) == 0)
		(void)f3_conf_load_file(conf, CONFIG_DEFAULT, NULL);
	(void)f3_conf_load_env(conf, environ, NULL);
	if (asprintf(&path, "%s/control.sock", f3_conf_str(conf, "f3", NULL, "run-dir")) < 0)
		path = NULL;
	f3_conf_free(conf);
	return path;
}

/* ---- The command line ------------------------------------------------------------------------ */

static const struct f3ctl_verb *find_verb(const char *name)
{
	for (const struct f3ctl_verb *v = f3ctl_verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

static int bad_option(const struct f3ctl *ctl, poptContext ctx, int error)
{
	return f3ctl_usage(ctl, "%s: %s", poptBadOption(ctx, 0), poptStrerror(error));
}

static void print_verb_help(const struct f3ctl_verb *verb, poptContext ctx)
{
	char usage[256];

	snprintf(usage, sizeof(usage), "[OPTIONS] %s", verb->args ? verb->args : "");
	poptSetOtherOptionHelp(ctx, usage);
	printf("f3ctl %s: %s\n", verb->name, verb->help);
	poptPrintHelp(ctx, stdout, 0);
	if (verb->more)
		printf("\n%s\n", verb->more);
}

static int run(struct f3ctl *ctl, int argc, const char *const *argv)
{
	ctl->json = opt_json != 0;
	ctl->socket_path = opt_socket ? strdup(opt_socket) : default_socket();
	if (!ctl->socket_path)
		return f3ctl_fail(ctl, "out of memory");
	return ctl->verb->run(ctl, argc, argv);
}

/* argv: from the verb on. */
static int run_verb(struct f3ctl *ctl, int argc, const char *const *argv)
{
	struct poptOption table[] = {
		{ NULL, '\0', POPT_ARG_INCLUDE_TABLE, (void *)ctl->verb->options, 0,
		  "Options:", NULL },
		{ NULL, '\0', POPT_ARG_INCLUDE_TABLE, common_options, 0, "Common options:", NULL },
		POPT_TABLEEND,
	};
	const char **rest, **args, *none[] = { NULL };
	poptContext ctx;
	char name[64];
	int c, n = 0, r;

	snprintf(name, sizeof(name), "f3ctl %s", ctl->verb->name);
	args = calloc((size_t)argc + 1, sizeof(*args));
	if (!args)
		return f3ctl_fail(ctl, "out of memory");
	memcpy(args, argv, (size_t)argc * sizeof(*args));
	args[0] = name;
	ctx = poptGetContext(name, argc, args, ctl->verb->options ? table : table + 1, 0);
	if (!ctx) {
		free(args);
		return f3ctl_fail(ctl, "out of memory");
	}
	c = poptGetNextOpt(ctx);
	if (c < -1) {
		r = bad_option(ctl, ctx, c);
	} else if (opt_help) {
		print_verb_help(ctl->verb, ctx);
		r = F3CTL_OK;
	} else {
		rest = poptGetArgs(ctx);
		if (!rest)
			rest = none;
		while (rest[n])
			n++;
		r = run(ctl, n, rest);
	}
	poptFreeContext(ctx);
	free(args);
	return r;
}

static int run_top(struct f3ctl *ctl, int argc, const char **argv)
{
	poptContext ctx =
		poptGetContext("f3ctl", argc, argv, top_options, POPT_CONTEXT_POSIXMEHARDER);
	const char **rest;
	int c, n = 0, r;

	if (!ctx)
		return f3ctl_fail(ctl, "out of memory");
	poptSetOtherOptionHelp(ctx, "[OPTIONS] VERB [OPTIONS] [ARGUMENTS]");
	c = poptGetNextOpt(ctx);
	rest = poptGetArgs(ctx);
	if (c < -1) {
		r = bad_option(ctl, ctx, c);
	} else if (opt_print) {
		r = print_table(opt_print);
	} else if (opt_version) {
		printf("f3ctl %s\n", PACKAGE_VERSION);
		r = F3CTL_OK;
	} else if (opt_help) {
		poptPrintHelp(ctx, stdout, 0);
		print_verbs();
		r = F3CTL_OK;
	} else if (!rest || !rest[0]) {
		r = f3ctl_usage(ctl, "which verb?");
	} else {
		while (rest[n])
			n++;
		ctl->verb = find_verb(rest[0]);
		r = ctl->verb ? run_verb(ctl, n, rest) :
				f3ctl_usage(ctl, "there is no verb \"%s\"", rest[0]);
	}
	poptFreeContext(ctx);
	return r;
}

int main(int argc, char **argv)
{
	struct f3ctl ctl = { .fd = -1 };
	int r;

	setlocale(LC_CTYPE, "");
	ctl.out_tty = isatty(STDOUT_FILENO);
	ctl.err_tty = isatty(STDERR_FILENO);
	r = run_top(&ctl, argc, (const char **)argv);
	f3ctl_close(&ctl);
	free(ctl.socket_path);
	free(opt_socket);
	free(opt_print);
	/* Output that went nowhere is not success. */
	if (fflush(stdout) && r == F3CTL_OK)
		r = F3CTL_FAILED;
	return r;
}
