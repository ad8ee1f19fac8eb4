/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call: requests that may have to leave their thread, and what is counted of every one.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/process.h"
#include "fs/core/answered.h"
#include "fs/core/inode.h"
#include "fs/core/lack.h"
#include "fs/fuse/impl.h"
#include "fs/fuse/refuse.h"

/* The kernel sets it in the number of a request that it sends again (linux/fuse.h since 6.9). */
#define UNIQUE_RESEND (UINT64_C(1) << 63)

/* Of a write that waits while memory is short. */
#define SHORT_WRITE_BYTES 4096u

/* libfuse keeps a request's number to itself. */
static __thread uint64_t current_unique, current_poll;

void f3_request_begins(const void *request)
{
	const struct fuse_in_header *in = request;

	current_unique = in->unique;
	if (in->opcode == FUSE_POLL && in->len >= sizeof(*in) + sizeof(struct fuse_poll_in))
		current_poll = ((const struct fuse_poll_in *)(in + 1))->kh;
}

uint64_t f3_request_poll(void)
{
	return current_poll;
}

static const char *const op_names[F3_OP_MAX] = {
	"lookup",          "getattr",  "setattr",   "readlink",    "mknod",     "mkdir",
	"unlink",          "rmdir",    "symlink",   "rename",      "link",      "open",
	"create",          "tmpfile",  "read",      "write",       "flush",     "release",
	"fsync",           "opendir",  "readdir",   "releasedir",  "fsyncdir",  "statfs",
	"setxattr",        "getxattr", "listxattr", "removexattr", "fallocate", "lseek",
	"copy_file_range",
};

static char op_labels[F3_OP_MAX][32], error_labels[F3_OP_MAX][64];
static struct f3_histogram op_seconds[F3_OP_MAX];
static struct f3_counter op_errors[F3_OP_MAX];

const char *f3_op_name(enum f3_op op)
{
	return op_names[op];
}

void f3_ops_register_metrics(void)
{
	for (int op = 0; op < F3_OP_MAX; op++) {
		snprintf(op_labels[op], sizeof(op_labels[op]), "op=\"%s\"", op_names[op]);
		snprintf(error_labels[op], sizeof(error_labels[op]), "op=\"%s\",result=\"error\"",
			 op_names[op]);
		op_seconds[op].name = "f3_fuse_op_seconds";
		op_seconds[op].labels = op_labels[op];
		op_seconds[op].help = "Time from a request's arrival to its reply.";
		f3_histogram_register(&op_seconds[op]);
		op_errors[op].name = "f3_fuse_errors_total";
		op_errors[op].labels = error_labels[op];
		op_errors[op].help =
			"Requests answered with an error other than ENOENT and ENODATA.";
		f3_counter_register(&op_errors[op]);
	}
}

static void count_for_activation(struct f3_core *core, enum f3_op op, uint64_t took_ns,
				 const struct f3_caller *who, int result)
{
	struct f3_activation *act = f3_act_of(core, who->pid);

	if (!act)
		return;
	f3_act_count(act, F3_ACT_OPS, 1);
	f3_act_count(act, F3_ACT_OP_NS, took_ns);
	if (who->may_block)
		f3_act_count(act, F3_ACT_WAIT_NS, took_ns);
	if (result && result != -ENOENT && result != -ENODATA)
		f3_act_count(act, F3_ACT_OPS_FAILED, 1);
	if (!result &&
	    (op == F3_OP_CREATE || op == F3_OP_MKNOD || op == F3_OP_MKDIR || op == F3_OP_SYMLINK))
		f3_act_count(act, F3_ACT_CREATED, 1);
	if (!result && (op == F3_OP_UNLINK || op == F3_OP_RMDIR))
		f3_act_count(act, F3_ACT_REMOVED, 1);
	f3_act_put(act);
}

void f3_op_finished(struct f3_fuse *f, enum f3_op op, uint64_t start_ns, uint64_t ino,
		    const char *name, const struct f3_caller *who, int result)
{
	uint64_t took_ns = f3_clock_mono_ns() - start_ns;

	f3_observe(&op_seconds[op], took_ns);
	if (result && result != -ENOENT && result != -ENODATA)
		f3_count(&op_errors[op], 1);
	if (f3_acts_live(f->core))
		count_for_activation(f->core, op, took_ns, who, result);
	if (f3_access_wanted())
		f3_access(op, took_ns, ino, name, who, result);
	if (f->slow_ns && took_ns > f->slow_ns)
		f3_log_warn("slow: %s of inode %" PRIu64 " took %.3f s", op_names[op], ino,
			    f3_seconds(took_ns));
}

void f3_call_init(struct f3_call *call, fuse_req_t req, enum f3_op op, int (*fn)(struct f3_call *))
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	memset(call, 0, sizeof(*call));
	call->f = fuse_req_userdata(req);
	call->req = req;
	call->op = op;
	call->fn = fn;
	call->start_ns = f3_clock_mono_ns();
	call->who = (struct f3_caller){
		.uid = ctx->uid,
		.gid = ctx->gid,
		.pid = ctx->pid,
		.umask = ctx->umask,
		.unique = current_unique & ~UNIQUE_RESEND,
	};
	call->again = (current_unique & UNIQUE_RESEND) != 0;
	f3_ring_saw(call);
}

static void finish(struct f3_call *call, int r)
{
	if (r)
		fuse_reply_err(call->req, -r);
	f3_op_finished(call->f, call->op, call->start_ns, call->ino, call->name, &call->who, r);
}

static void give_memory(const struct f3_call *call)
{
	struct f3_budget *budget = call->f->core->budget;

	f3_budget_give(budget, F3_ACCT_BUFFERS, call->buffer_bytes);
	f3_budget_give(budget, F3_ACCT_PARKED, call->parked_bytes);
}

/* One that f3_call_dup made. */
static void call_free(struct f3_call *call)
{
	f3_inode_put(call->f->core, call->file);
	f3_inode_put(call->f->core, call->file2);
	give_memory(call);
	free(call);
}

static void run_blocking(struct f3_work *work);

/* There is no room for it now. -ENOSPC: nor does it wait any more. */
static int wait_for_room(struct f3_call *call, uint64_t seen)
{
	struct f3_core *core = call->f->core;

	if (!call->wait_until_ns)
		call->wait_until_ns = f3_clock_mono_ns() + core->opt.space_wait_ns;
	call->work.fn = run_blocking;
	return f3_lack_wait(core, &call->work, seen) ? -ENOSPC : 0;
}

static void run_blocking(struct f3_work *work)
{
	struct f3_call *call = (struct f3_call *)work;
	struct f3_core *core = call->f->core;
	uint64_t seen = f3_lack_seen(core);
	bool late = call->wait_until_ns && f3_clock_mono_ns() >= call->wait_until_ns;
	int r = -ENOSPC;

	if (call->wait_until_ns && call->f->frozen) {
		/* The kernel asks who serves it next: nothing of it was done. */
		fuse_reply_none(call->req);
		call_free(call);
		return;
	}
	call->who.may_wait = !late && !core->stopping;
	if (!call->wait_until_ns || !core->stopping)
		r = call->fn(call);
	if (r == -F3_EROOM) {
		r = wait_for_room(call, seen);
		if (!r)
			return;
	}
	if (r == -F3_EFIRST) {
		f3_park_open(call);
		return;
	}
	if (r == -F3_EEXPECT) {
		f3_park_expected(call);
		return;
	}
	f3_call_fail(call, r);
}

void f3_call_fail(struct f3_call *copy, int error)
{
	finish(copy, error);
	call_free(copy);
}

static void call_again(struct f3_call *copy)
{
	int r = f3_workq_push(copy->f->core->blocking, &copy->work);

	if (r)
		f3_call_fail(copy, -ENOMEM);
}

/*
 * The copy's memory: its value is of the account of buffers, the rest of what waits. Waiting for
 * room here would hold a thread that reads the kernel's requests. So a write that finds none waits
 * with its first bytes only; the program is told how many were written, and comes again.
 */
static int take_memory(struct f3_call *call, size_t strings)
{
	struct f3_budget *budget = call->f->core->budget;
	size_t value = call->value ? call->size : 0;

	call->parked_bytes = sizeof(*call) + strings;
	call->buffer_bytes = value;
	if (value && f3_budget_try_take(budget, F3_ACCT_BUFFERS, value)) {
		call->buffer_bytes = 0;
		if (call->op != F3_OP_WRITE && value > SHORT_WRITE_BYTES)
			return -ENOMEM;
		if (call->size > SHORT_WRITE_BYTES)
			call->size = SHORT_WRITE_BYTES;
		call->parked_bytes += call->size;
	}
	if (!f3_budget_try_take(budget, F3_ACCT_PARKED, call->parked_bytes))
		return 0;
	f3_budget_give(budget, F3_ACCT_BUFFERS, call->buffer_bytes);
	return -ENOMEM;
}

/* A copy with its strings and value behind it, and references of its own: a program that dies is
 * answered and closes its files while the call goes on. */
struct f3_call *f3_call_dup(struct f3_call *call)
{
	size_t n1 = call->name ? strlen(call->name) + 1 : 0;
	size_t n2 = call->name2 ? strlen(call->name2) + 1 : 0;
	size_t n3;
	struct f3_call *copy;
	char *at;

	if (call->on_heap)
		return call;
	if (take_memory(call, n1 + n2))
		return NULL;
	n3 = call->value ? call->size : 0;
	copy = malloc(sizeof(*copy) + n1 + n2 + n3);
	if (!copy) {
		give_memory(call);
		return NULL;
	}
	*copy = *call;
	copy->on_heap = true;
	copy->who.may_block = true;
	copy->work.fn = run_blocking;
	at = (char *)(copy + 1);
	if (n1) {
		copy->name = memcpy(at, call->name, n1);
		at += n1;
	}
	if (n2) {
		copy->name2 = memcpy(at, call->name2, n2);
		at += n2;
	}
	if (n3)
		copy->value = memcpy(at, call->value, n3);
	if (copy->file)
		f3_inode_ref(copy->file);
	if (copy->file2)
		f3_inode_ref(copy->file2);
	return copy;
}

/*
 * Called by libfuse when the program has a signal. It would wait for the store, in a state in which
 * nothing can kill it: so who is to die is answered, past libfuse, who knows nothing of that. The call
 * itself goes on; when it is answered the kernel does not know it any more, as if the program had gone.
 * A signal that is caught disturbs nothing: programs do not expect EINTR of what is no slow device.
 */
static void interrupted(fuse_req_t req, void *unique)
{
	const struct f3_fuse *f = fuse_req_userdata(req);

	if (f3_process_dies(fuse_req_ctx(req)->pid))
		(void)f3_fuse_answer(fuse_session_fd(f->se), (uintptr_t)unique, -EINTR);
}

/* Requests of rings are answered in the ring only. */
static void make_killable(struct f3_call *call)
{
	uint64_t unique = call->who.unique | (call->again ? UNIQUE_RESEND : 0);

	if (!call->f->uring && (uintptr_t)unique == unique)
		fuse_req_interrupt_func(call->req, interrupted, (void *)(uintptr_t)unique);
}

/* What it was answered, or would have been. */
static int answer_again(struct f3_call *call)
{
	struct fuse_entry_param param;
	struct f3_entry e;
	int r;

	if (!call->answered_ino) {
		fuse_reply_err(call->req, 0);
		return 0;
	}
	if (call->op == F3_OP_LINK)
		r = f3_ns_entry(call->f->core, call->ino2, call->answered_ino, &e);
	else
		r = f3_ns_made_before(call->f->core, call->ino, call->answered_ino, &call->who, &e);
	if (r)
		return r;
	f3_entry_param(&e, &param);
	fuse_reply_entry(call->req, &param);
	return 0;
}

void f3_call_run(struct f3_call *call)
{
	struct f3_call *copy;
	int r;

	if (call->again && f3_answered_find(call->f->core, call->who.unique, &call->answered_ino) &&
	    call->op != F3_OP_CREATE && call->op != F3_OP_TMPFILE)
		call->fn = answer_again;
	r = call->fn(call);

	if (r != -F3_EWAIT && r != -F3_EFIRST && r != -F3_EEXPECT) {
		finish(call, r);
		return;
	}
	copy = f3_call_dup(call);
	if (!copy) {
		finish(call, -ENOMEM);
	} else if (r == -F3_EFIRST) {
		f3_park_open(copy);
	} else if (r == -F3_EEXPECT) {
		f3_park_expected(copy);
	} else {
		make_killable(copy);
		call_again(copy);
	}
}

void f3_entry_param(const struct f3_entry *e, struct fuse_entry_param *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->ino = e->ino;
	ret->attr = e->st;
	ret->attr_timeout = f3_attr_seconds(e);
	ret->entry_timeout = f3_seconds(e->entry_ttl_ns);
}
