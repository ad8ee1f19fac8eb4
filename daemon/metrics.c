/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "fs/base/clock.h"
#include "fs/base/file.h"
#include "fs/base/metric.h"
#include "fs/base/text.h"
#include "fs/core/evict.h"
#include "fs/core/inode.h"
#include "fs/core/journal_run.h"
#include "fs/core/volume.h"

#define TEXT_MAX (8u << 20)
#define CONNECTIONS_MAX 16u
#define CONNECTION_BYTES (16u << 10)
#define TIMEOUT_S 10u

struct f3_metrics {
	struct f3_core *core;
	struct f3_fuse *fuse;
	struct MHD_Daemon *http;
	struct f3_collector volumes;
	struct f3_gauge *gauges;
};

/* ---- Gauges ---------------------------------------------------------------------------------- */

uint64_t f3_metrics_resident_bytes(void)
{
	char text[256];
	unsigned long pages;

	if (f3_file_read("/proc/self/statm", text, sizeof(text)) < 0 ||
	    sscanf(text, "%*u %lu", &pages) != 1)
		return 0;
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double build_info(void *arg)
{
	(void)arg;
	return 1;
}

static double resident(void *arg)
{
	(void)arg;
	return (double)f3_metrics_resident_bytes();
}

static double cache_used(void *arg)
{
	return (double)f3_evict_used(((struct f3_metrics *)arg)->core);
}

static double cache_limit(void *arg)
{
	return (double)f3_evict_limit(((struct f3_metrics *)arg)->core);
}

static void sum_dirty(void *arg, struct f3_volume *v)
{
	*(uint64_t *)arg += v->dirty_bytes;
}

static double dirty_bytes(void *arg)
{
	uint64_t sum = 0;

	f3_volume_each(((struct f3_metrics *)arg)->core, sum_dirty, &sum);
	return (double)sum;
}

static struct f3_journal_stats journal(void *arg)
{
	struct f3_journal_stats stats = { 0 };

	f3_journal_stats(((struct f3_metrics *)arg)->core, 0, &stats);
	return stats;
}

static double journal_entries(void *arg)
{
	return (double)journal(arg).entries;
}

static double journal_retrying(void *arg)
{
	return (double)journal(arg).retrying;
}

static double dirty_age(void *arg)
{
	int64_t since_ns = journal(arg).oldest_since_ns, now_ns = f3_clock_real_ns();

	return since_ns && now_ns > since_ns ? (double)(now_ns - since_ns) / 1e9 : 0;
}

static double memory_limit(void *arg)
{
	return (double)f3_budget_limit(((struct f3_metrics *)arg)->core->budget);
}

static double memory_waiting(void *arg)
{
	return (double)f3_budget_waiting(((struct f3_metrics *)arg)->core->budget);
}

/* What an account has taken, and its share. */
#define ACCOUNT(name, account)                                                                     \
	static double used_##name(void *arg)                                                       \
	{                                                                                          \
		return (double)f3_budget_used(((struct f3_metrics *)arg)->core->budget, account);  \
	}                                                                                          \
	static double share_##name(void *arg)                                                      \
	{                                                                                          \
		return (double)f3_budget_share(((struct f3_metrics *)arg)->core->budget, account); \
	}

ACCOUNT(process, F3_ACCT_PROCESS)
ACCOUNT(database, F3_ACCT_DATABASE)
ACCOUNT(inodes, F3_ACCT_INODES)
ACCOUNT(buffers, F3_ACCT_BUFFERS)
ACCOUNT(parked, F3_ACCT_PARKED)
ACCOUNT(journal, F3_ACCT_JOURNAL)
ACCOUNT(lists, F3_ACCT_LISTS)
ACCOUNT(control, F3_ACCT_CONTROL)

static double database_disk(void *arg)
{
	uint64_t disk = 0, memory = 0;

	f3_meta_stats(((struct f3_metrics *)arg)->core->meta, &disk, &memory);
	return (double)disk;
}

static double database_memory(void *arg)
{
	uint64_t disk = 0, memory = 0;

	f3_meta_stats(((struct f3_metrics *)arg)->core->meta, &disk, &memory);
	return (double)memory;
}

static double open_files(void *arg)
{
	struct f3_fuse_info info;

	f3_fuse_info(((struct f3_metrics *)arg)->fuse, &info);
	return (double)info.opens;
}

static double parked_reads(void *arg)
{
	struct f3_fuse_info info;

	f3_fuse_info(((struct f3_metrics *)arg)->fuse, &info);
	return (double)info.parked;
}

static double inodes_in_memory(void *arg)
{
	uint64_t inodes = 0, bytes = 0;

	f3_itable_stats(((struct f3_metrics *)arg)->core, &inodes, &bytes);
	return (double)inodes;
}

static const struct f3_gauge gauges[] = {
	{ .name = "f3_build_info",
	  .labels = "version=\"" PACKAGE_VERSION "\"",
	  .help = "Always 1; the labels tell what runs.",
	  .read = build_info },
	{ .name = "f3_process_resident_bytes",
	  .help = "Memory of the daemon in RAM.",
	  .read = resident },
	{ .name = "f3_cache_used_bytes",
	  .help = "Bytes that backing files occupy on the cache disk.",
	  .read = cache_used },
	{ .name = "f3_cache_limit_bytes", .help = "Most they may occupy.", .read = cache_limit },
	{ .name = "f3_dirty_bytes",
	  .help = "Bytes that the object stores do not have yet.",
	  .read = dirty_bytes },
	{ .name = "f3_dirty_age_seconds",
	  .help = "Age of the oldest change that the stores were not told of.",
	  .read = dirty_age },
	{ .name = "f3_journal_entries",
	  .help = "Changes that the stores were not told of.",
	  .read = journal_entries },
	{ .name = "f3_journal_retrying_entries",
	  .help = "Of these, tried before and failed.",
	  .read = journal_retrying },
	{ .name = "f3_memory_limit_bytes",
	  .help = "The daemon's memory budget.",
	  .read = memory_limit },
	{ .name = "f3_memory_waiting_requests",
	  .help = "Work that waits for memory; above zero for long, memory-limit is too low.",
	  .read = memory_waiting },
	{ .name = "f3_memory_used_bytes",
	  .labels = "account=\"process\"",
	  .help = "What was taken from the budget.",
	  .read = used_process },
	{ .name = "f3_memory_used_bytes", .labels = "account=\"database\"", .read = used_database },
	{ .name = "f3_memory_used_bytes", .labels = "account=\"inodes\"", .read = used_inodes },
	{ .name = "f3_memory_used_bytes", .labels = "account=\"buffers\"", .read = used_buffers },
	{ .name = "f3_memory_used_bytes", .labels = "account=\"parked\"", .read = used_parked },
	{ .name = "f3_memory_used_bytes", .labels = "account=\"journal\"", .read = used_journal },
	{ .name = "f3_memory_used_bytes", .labels = "account=\"lists\"", .read = used_lists },
	{ .name = "f3_memory_used_bytes", .labels = "account=\"control\"", .read = used_control },
	{ .name = "f3_memory_share_bytes",
	  .labels = "account=\"process\"",
	  .help = "What may be taken from the budget.",
	  .read = share_process },
	{ .name = "f3_memory_share_bytes",
	  .labels = "account=\"database\"",
	  .read = share_database },
	{ .name = "f3_memory_share_bytes", .labels = "account=\"inodes\"", .read = share_inodes },
	{ .name = "f3_memory_share_bytes", .labels = "account=\"buffers\"", .read = share_buffers },
	{ .name = "f3_memory_share_bytes", .labels = "account=\"parked\"", .read = share_parked },
	{ .name = "f3_memory_share_bytes", .labels = "account=\"journal\"", .read = share_journal },
	{ .name = "f3_memory_share_bytes", .labels = "account=\"lists\"", .read = share_lists },
	{ .name = "f3_memory_share_bytes", .labels = "account=\"control\"", .read = share_control },
	{ .name = "f3_database_disk_bytes",
	  .help = "Size of the metadata database.",
	  .read = database_disk },
	{ .name = "f3_database_memory_bytes",
	  .help = "Memory the metadata database uses.",
	  .read = database_memory },
	{ .name = "f3_fuse_open_files", .help = "Open file descriptions.", .read = open_files },
	{ .name = "f3_fuse_parked_reads",
	  .help = "Reads that wait for bytes.",
	  .read = parked_reads },
	{ .name = "f3_inodes_in_memory",
	  .help = "Inodes held in the daemon's memory.",
	  .read = inodes_in_memory },
};

#define N_GAUGES (sizeof(gauges) / sizeof(gauges[0]))

static int register_gauges(struct f3_metrics *m)
{
	m->gauges = calloc(N_GAUGES, sizeof(*m->gauges));
	if (!m->gauges)
		return -ENOMEM;
	for (size_t i = 0; i < N_GAUGES; i++) {
		struct f3_gauge *g = &m->gauges[i];

		*g = gauges[i];
		g->arg = m;
		if (!g->labels)
			g->labels = "";
		/* several of one name: the first tells what they are */
		for (size_t k = 0; !g->help && k < i; k++)
			if (!strcmp(gauges[k].name, g->name))
				g->help = gauges[k].help;
		f3_gauge_register(g);
	}
	return 0;
}

/* ---- Volumes --------------------------------------------------------------------------------- */

static uint64_t volume_used(const struct f3_volume *v)
{
	return v->used_bytes;
}

static uint64_t volume_inodes(const struct f3_volume *v)
{
	return v->used_inodes;
}

static uint64_t volume_quota(const struct f3_volume *v)
{
	return v->quota_bytes;
}

static uint64_t volume_quota_inodes(const struct f3_volume *v)
{
	return v->quota_inodes;
}

static uint64_t volume_dirty(const struct f3_volume *v)
{
	return v->dirty_bytes;
}

static const struct volume_metric {
	const char *name, *help;
	uint64_t (*read)(const struct f3_volume *v);
} volume_metrics[] = {
	{ "f3_volume_used_bytes", "Bytes its files count for.", volume_used },
	{ "f3_volume_used_inodes", "Files and directories in it.", volume_inodes },
	{ "f3_volume_quota_bytes", "Most bytes it may have; 0: no limit.", volume_quota },
	{ "f3_volume_quota_inodes", "Most files it may have; 0: no limit.", volume_quota_inodes },
	{ "f3_volume_dirty_bytes", "Bytes its store does not have yet.", volume_dirty },
};

struct volume_line {
	const struct volume_metric *metric;
	struct f3_buf *out;
};

/* A label's value: what is not fit to be shown as an escape, then quoted. */
static void put_label(struct f3_buf *out, const char *text)
{
	struct f3_buf shown;

	f3_buf_init(&shown, TEXT_MAX);
	f3_text_escape(&shown, text, strlen(text), F3_ESCAPE_LINE);
	for (size_t i = 0; i < shown.len; i++) {
		if (shown.data[i] == '\\' || shown.data[i] == '"')
			f3_buf_put_u8(out, '\\');
		f3_buf_put_u8(out, shown.data[i]);
	}
	f3_buf_done(&shown);
}

static void put_volume(void *arg, struct f3_volume *v)
{
	struct volume_line *line = arg;

	f3_buf_printf(line->out, "%s{volume=\"", line->metric->name);
	put_label(line->out, v->name);
	f3_buf_printf(line->out, "\"} %" PRIu64 "\n", line->metric->read(v));
}

static void collect_volumes(void *arg, struct f3_buf *out)
{
	struct f3_metrics *m = arg;

	for (size_t i = 0; i < sizeof(volume_metrics) / sizeof(volume_metrics[0]); i++) {
		struct volume_line line = { &volume_metrics[i], out };

		f3_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", line.metric->name,
			      line.metric->help, line.metric->name);
		f3_volume_each(m->core, put_volume, &line);
	}
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *type,
			     const void *body, size_t len)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(len, (void *)body, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result r = MHD_NO;

	if (!response)
		return MHD_NO;
	if (MHD_add_response_header(response, "Content-Type", type) == MHD_YES &&
	    (status != MHD_HTTP_METHOD_NOT_ALLOWED ||
	     MHD_add_response_header(response, "Allow", "GET, HEAD") == MHD_YES))
		r = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **request)
{
	static const char not_found[] = "only /metrics is here\n";
	static const char not_allowed[] = "GET or HEAD\n";
	static int seen;
	struct f3_buf text;
	enum MHD_Result r;

	(void)cls;
	(void)version;
	(void)upload;
	/* The first call brings the headers, later ones the body, which nobody wants. */
	if (!*request) {
		*request = &seen;
		return MHD_YES;
	}
	if (*upload_size) {
		*upload_size = 0;
		return MHD_YES;
	}
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return reply(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", not_allowed,
			     sizeof(not_allowed) - 1);
	if (strcmp(url, "/metrics") != 0)
		return reply(connection, MHD_HTTP_NOT_FOUND, "text/plain", not_found,
			     sizeof(not_found) - 1);
	f3_buf_init(&text, TEXT_MAX);
	f3_metrics_render(&text);
	r = text.error ? MHD_NO :
			 reply(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
			       text.data, text.len);
	f3_buf_done(&text);
	return r;
}

static struct MHD_Daemon *listen_at(struct f3_metrics *m, const struct sockaddr *addr)
{
	unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD;

	if (addr->sa_family == AF_INET6)
		flags |= MHD_USE_DUAL_STACK;
	errno = 0;
	return MHD_start_daemon(flags, 0, NULL, NULL, answer, m, MHD_OPTION_SOCK_ADDR, addr,
				MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
				MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S, MHD_OPTION_END);
}

static int start_http(struct f3_metrics *m, const char *listen, struct f3_err *err)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int r = f3_parse_address(listen, &addr, &len);

	if (r)
		return f3_err_set(err, r, "[metrics] listen: \"%s\" is no address", listen);
	m->http = listen_at(m, (struct sockaddr *)&addr);
	if (!m->http && listen[0] == ':' && errno == EAFNOSUPPORT) {
		/* every address, on a machine without IPv6 */
		const struct sockaddr_in any = {
			.sin_family = AF_INET,
			.sin_port = ((struct sockaddr_in6 *)&addr)->sin6_port,
		};

		m->http = listen_at(m, (const struct sockaddr *)&any);
	}
	if (!m->http)
		return f3_err_set(err, errno ? -errno : -EIO, "[metrics] listen = %s: %s", listen,
				  errno ? strerror(errno) : "cannot listen there");
	return 0;
}

int f3_metrics_start(struct f3_core *core, struct f3_fuse *fuse, struct f3_metrics **ret_m,
		     struct f3_err *err)
{
	const char *listen = f3_conf_str(core->conf, "metrics", NULL, "listen");
	struct f3_metrics *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return f3_err_set(err, -ENOMEM, "out of memory");
	m->core = core;
	m->fuse = fuse;
	r = register_gauges(m);
	if (r)
		f3_err_set(err, r, "out of memory");
	m->volumes = (struct f3_collector){ .collect = collect_volumes, .arg = m };
	f3_collector_register(&m->volumes);
	if (!r && listen)
		r = start_http(m, listen, err);
	if (r) {
		f3_metrics_stop(m);
		return r;
	}
	*ret_m = m;
	return 0;
}

void f3_metrics_stop(struct f3_metrics *m)
{
	if (!m)
		return;
	if (m->http)
		MHD_stop_daemon(m->http);
	f3_metrics_reset();
	free(m->gauges);
	free(m);
}
