/* SPDX-License-Identifier: Apache-2.0 */
/*
 * park: requests that wait without a thread: reads for bytes, closes for a commit.
 *
 * A parked request is in a table by number, and the number is what the kernel's interrupt is
 * registered with: an interrupt that comes when the request has just been answered finds
 * nothing. Each has two references: of whoever parks it, until that is done with it, and of the
 * waiter's function.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/core/commitset.h"
#include "fs/core/expect.h"
#include "fs/core/fill.h"
#include "fs/core/fill_recent.h"
#include "fs/core/stage.h"
#include "fs/core/stream.h"
#include "fs/core/workingset.h"
#include "fs/fuse/impl.h"

#define BUCKETS 4096u
/* What a request that waits takes besides its bytes: itself, libfuse's part of it, and a transfer
 * queued for it. */
#define PARKED_BYTES (sizeof(struct parked) + 256 + F3_FILL_TRANSFER_BYTES)

struct parked {
	struct f3_waiter w; /* first: found again from the waiter */
	struct f3_room room; /* for buf */
	struct f3_io io;
	struct f3_work cancel;
	struct f3_fuse *f;
	fuse_req_t req;
	struct f3_inode *_Atomic inode; /* referenced; NULL: of what has not been made */
	struct f3_caller who;
	struct f3_call *again; /* an open: made again when it need not wait any more */
	enum f3_op op;
	uint64_t start_ns;
	uint64_t number;
	uint64_t off;
	size_t size;
	size_t wanted; /* of a stream's reader, who gets as many of them as there are */
	uint64_t fh;
	char *buf;
	_Atomic int refs;
	bool noatime;
	enum f3_act_source source; /* of a read */
	int own_fd; /* to be closed; -1 */
	_Atomic bool interrupted;
	struct parked *next; /* in its bucket */
};

struct f3_parked {
	struct f3_lock lock;
	struct parked *buckets[BUCKETS];
	uint64_t next_number;
	_Atomic uint64_t count;
};

int f3_parked_new(struct f3_parked **ret_p)
{
	struct f3_parked *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	f3_lock_init(&p->lock, F3_RANK_QUEUE);
	*ret_p = p;
	return 0;
}

void f3_parked_free(struct f3_parked *p)
{
	if (!p)
		return;
	f3_lock_done(&p->lock);
	free(p);
}

uint64_t f3_parked_count(struct f3_parked *p)
{
	return p->count;
}

static void parked_put(struct parked *pk)
{
	struct f3_fuse *f = pk->f;

	if (--pk->refs)
		return;
	if (pk->own_fd >= 0)
		close(pk->own_fd);
	if (pk->buf) {
		free(pk->buf);
		f3_budget_give(f->core->budget, F3_ACCT_BUFFERS, pk->size);
	}
	f3_inode_put(f->core, pk->inode);
	free(pk);
	f3_budget_give(f->core->budget, F3_ACCT_PARKED, PARKED_BYTES);
}

static void table_add(struct f3_parked *p, struct parked *pk)
{
	f3_lock(&p->lock);
	pk->number = ++p->next_number;
	pk->next = p->buckets[pk->number % BUCKETS];
	p->buckets[pk->number % BUCKETS] = pk;
	p->count++;
	f3_unlock(&p->lock);
}

static void table_del(struct f3_parked *p, struct parked *pk)
{
	f3_lock(&p->lock);
	for (struct parked **at = &p->buckets[pk->number % BUCKETS]; *at; at = &(*at)->next) {
		if (*at == pk) {
			*at = pk->next;
			p->count--;
			break;
		}
	}
	f3_unlock(&p->lock);
}

static struct parked *table_get(struct f3_parked *p, uint64_t number)
{
	struct parked *pk;

	f3_lock(&p->lock);
	for (pk = p->buckets[number % BUCKETS]; pk && pk->number != number; pk = pk->next)
		;
	if (pk)
		pk->refs++;
	f3_unlock(&p->lock);
	return pk;
}

/* The only place where a parked request is answered with an error or nothing more to say. */
static void answer(struct parked *pk, int error)
{
	if (pk->number)
		table_del(pk->f->parked, pk);
	if (pk->again) {
		f3_call_fail(pk->again, error);
		parked_put(pk);
		return;
	}
	if (!error && pk->op == F3_OP_WRITE)
		fuse_reply_write(pk->req, pk->size);
	else
		fuse_reply_err(pk->req, -error);
	f3_op_finished(pk->f, pk->op, pk->start_ns, pk->inode->ino, NULL, &pk->who, error);
	parked_put(pk);
}

/* Takes it out of the list of those who wait for bytes. */
static bool cancel_wait(struct parked *pk)
{
	if (!pk->inode)
		return f3_expect_cancel(pk->f->core, &pk->w);
	return pk->wanted || pk->again ? f3_stream_cancel(pk->inode, &pk->w) :
					 f3_fill_cancel(pk->inode, &pk->w);
}

static void cancel_work(struct f3_work *work)
{
	struct parked *pk = (struct parked *)((char *)work - offsetof(struct parked, cancel));

	if (cancel_wait(pk) || f3_budget_cancel(pk->f->core->budget, &pk->room))
		answer(pk, -EINTR);
	parked_put(pk);
}

/* Called by libfuse from inside another request: it must not answer here. */
static void interrupted(fuse_req_t req, void *data)
{
	struct f3_fuse *f = fuse_req_userdata(req);
	struct parked *pk = table_get(f->parked, (uint64_t)(uintptr_t)data);

	if (!pk)
		return;
	pk->interrupted = true;
	pk->cancel.fn = cancel_work;
	if (f3_workq_push(f->core->transfer, &pk->cancel))
		parked_put(pk);
}

/* Before the answer: a stream's reader comes to here. */
static void note_read(struct parked *pk, size_t n)
{
	struct f3_open *open = pk->wanted ? f3_open_find(pk->f->opens, pk->fh) : NULL;

	if (open)
		f3_open_note_read(pk->f->opens, open, pk->off + n);
}

/* With the first n of its buffer; with none of a read that has come to the end. */
static void answer_bytes(struct parked *pk, size_t n)
{
	if (pk->number)
		table_del(pk->f->parked, pk);
	note_read(pk, n);
	fuse_reply_buf(pk->req, pk->buf, n);
	f3_data_count_read(pk->f->core, pk->who.pid, (enum f3_class)pk->inode->rec.class_,
			   pk->source, n);
	f3_op_finished(pk->f, pk->op, pk->start_ns, pk->inode->ino, NULL, &pk->who, 0);
	parked_put(pk);
}

static void follow(struct parked *pk);

static void read_done(struct f3_io *io)
{
	struct parked *pk = (struct parked *)((char *)io - offsetof(struct parked, io));

	if (io->result < 0) {
		answer(pk, (int)io->result);
		return;
	}
	if (!io->result && pk->wanted) {
		/* Truncated since we saw them: no end of a file. */
		free(pk->buf);
		pk->buf = NULL;
		f3_budget_give(pk->f->core->budget, F3_ACCT_BUFFERS, pk->size);
		if (pk->own_fd >= 0)
			close(pk->own_fd);
		pk->own_fd = -1;
		follow(pk);
		return;
	}
	answer_bytes(pk, (size_t)io->result);
}

/* There is memory: read the bytes, without a thread of ours waiting for the disk. */
static void start_io(struct parked *pk)
{
	struct f3_core *core = pk->f->core;
	int fd;

	pk->buf = malloc(pk->size);
	if (!pk->buf) {
		f3_budget_give(core->budget, F3_ACCT_BUFFERS, pk->size);
		answer(pk, -ENOMEM);
		return;
	}
	f3_lock(&pk->inode->lock);
	if (pk->noatime)
		fd = pk->own_fd = f3_file_fd_noatime(pk->inode);
	else
		fd = f3_file_fd(core, pk->inode);
	f3_unlock(&pk->inode->lock);
	if (fd < 0) {
		answer(pk, fd);
		return;
	}
	pk->io = (struct f3_io){
		.op = F3_IO_READ,
		.fd = fd,
		.buf = pk->buf,
		.len = pk->size,
		.off = pk->off,
		.done = read_done,
	};
	f3_ring_submit(core->ring, &pk->io);
}

static void memory_here(struct f3_waiter *w, int result)
{
	(void)result;
	start_io((struct parked *)((char *)w - offsetof(struct parked, room.w)));
}

/* In the table, and the kernel's interrupt finds it there. */
static void make_interruptible(struct parked *pk)
{
	table_add(pk->f->parked, pk);
	fuse_req_interrupt_func(pk->req, interrupted, (void *)(uintptr_t)pk->number);
}

/* The bytes are there: they are read once there is memory for them. */
static void start_read(struct parked *pk)
{
	struct f3_budget *budget = pk->f->core->budget;
	int r;

	if (!f3_budget_try_take(budget, F3_ACCT_BUFFERS, pk->size)) {
		start_io(pk);
		return;
	}
	f3_recent_shrink(pk->f->core->recent, pk->size, true);
	pk->room.w.fn = memory_here;
	pk->refs++; /* ours: once it is asked for, it may be answered any time */
	if (!pk->number)
		make_interruptible(pk);
	r = f3_budget_ask(budget, F3_ACCT_BUFFERS, pk->size, &pk->room);
	if (r == 1)
		start_io(pk);
	else if (r < 0)
		answer(pk, r);
	else if (pk->interrupted && f3_budget_cancel(budget, &pk->room))
		answer(pk, -EINTR); /* it came when nothing could be taken out yet */
	parked_put(pk);
}

/* Answers with what came from the store a moment ago. False: it is not there (any more). */
static bool reply_lent(struct f3_fuse *f, fuse_req_t req, struct f3_inode *inode, uint64_t off,
		       size_t size)
{
	struct f3_core *core = f->core;
	enum f3_class class_ = (enum f3_class)inode->rec.class_;
	struct f3_fill_lent lent;
	uint64_t bytes = 0;

	if (!f3_fill_lend(core, inode, off, size, &lent))
		return false;
	for (unsigned i = 0; i < lent.n; i++)
		bytes += lent.iov[i].iov_len;
	f3_data_count_read(core, fuse_req_ctx(req)->pid, class_, F3_ACT_OBJECT, bytes);
	fuse_reply_iov(req, lent.iov, (int)lent.n);
	f3_fill_lent_done(core, &lent);
	return true;
}

/* Waits for the bytes, or reads them. */
static void need_bytes(struct parked *pk)
{
	int r;

	pk->refs++; /* ours: once it waits it may be answered any time */
	r = f3_fill_need(pk->f->core, pk->inode, pk->off, pk->size, &pk->w);
	if (r == 1)
		start_read(pk);
	else if (r < 0)
		answer(pk, r);
	else if (pk->interrupted && cancel_wait(pk))
		answer(pk, -EINTR); /* it came before there was a waiter to take out */
	parked_put(pk);
}

static void bytes_here(struct f3_waiter *w, int result)
{
	struct parked *pk = (struct parked *)w;

	if (result) {
		answer(pk, result);
		return;
	}
	note_read(pk, pk->size);
	if (!reply_lent(pk->f, pk->req, pk->inode, pk->off, pk->size)) {
		need_bytes(pk);
		return;
	}
	if (pk->number)
		table_del(pk->f->parked, pk);
	f3_op_finished(pk->f, pk->op, pk->start_ns, pk->inode->ino, NULL, &pk->who, 0);
	parked_put(pk);
}

static struct parked *parked_new(struct f3_fuse *f, fuse_req_t req, struct f3_inode *inode,
				 enum f3_op op, uint64_t start_ns)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct parked *pk;

	if (f3_budget_try_take(f->core->budget, F3_ACCT_PARKED, PARKED_BYTES))
		return NULL;
	pk = calloc(1, sizeof(*pk));
	if (!pk) {
		f3_budget_give(f->core->budget, F3_ACCT_PARKED, PARKED_BYTES);
		return NULL;
	}
	pk->f = f;
	pk->req = req;
	pk->op = op;
	pk->start_ns = start_ns;
	pk->who = (struct f3_caller){
		.uid = ctx->uid,
		.gid = ctx->gid,
		.pid = ctx->pid,
		.may_block = true,
	};
	pk->inode = inode;
	pk->refs = 1;
	pk->own_fd = -1;
	if (inode)
		f3_inode_ref(inode);
	return pk;
}

static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;
static bool have_buffer_key;

static void make_buffer_key(void)
{
	have_buffer_key = !pthread_key_create(&buffer_key, free);
}

/* F3_FUSE_MAX_IO bytes of this thread's own, NULL: out of memory. From the heap and when they are first
 * needed: what is declared as a thread's static memory the C library clears for every thread of the
 * process when it starts, and then it is there. */
static char *thread_buffer(void)
{
	char *buf;

	pthread_once(&buffer_once, make_buffer_key);
	if (!have_buffer_key)
		return NULL;
	buf = pthread_getspecific(buffer_key);
	if (buf)
		return buf;
	buf = malloc(F3_FUSE_MAX_IO);
	if (buf && pthread_setspecific(buffer_key, buf)) {
		free(buf);
		return NULL;
	}
	return buf;
}

/* What is in the page cache is answered by the thread that has the request: two switches less. */
static bool read_cached(struct f3_fuse *f, fuse_req_t req, struct f3_open *open, int fd,
			enum f3_class class_, size_t size, uint64_t off)
{
	char *buf = size <= F3_FUSE_MAX_IO ? thread_buffer() : NULL;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	ssize_t n;
	int error;

	if (!buf || f3_fault("read.cached", &error))
		return false;
	n = preadv2(fd, &iov, 1, (off_t)off, RWF_NOWAIT);
	if (n < 0 || (size_t)n < size) {
		/* Short: perhaps the end of the file, perhaps of what is cached. */
		struct stat st;

		if (n < 0 || fstat(fd, &st) || off + (uint64_t)n < (uint64_t)st.st_size)
			return false;
		if (!n && open->stream)
			return false; /* truncated since it was seen to be longer */
	}
	if (open->stream)
		f3_open_note_read(f->opens, open, off + (uint64_t)n);
	f3_data_count_read(f->core, fuse_req_ctx(req)->pid, class_,
			   open->stream ? F3_ACT_STREAM : F3_ACT_LOCAL, (uint64_t)n);
	fuse_reply_buf(req, buf, (size_t)n);
	return true;
}

/* Waits for a fill of its range; what is in the backing file is read. */
static void start_fill(struct parked *pk)
{
	pk->w.fn = bytes_here;
	pk->w.early = true;
	if (!pk->number)
		make_interruptible(pk);
	need_bytes(pk);
}

static void start(struct parked *pk)
{
	bool complete;

	f3_lock(&pk->inode->lock);
	complete = f3_file_complete(pk->inode);
	f3_unlock(&pk->inode->lock);
	if (complete)
		start_read(pk);
	else
		start_fill(pk);
}

static void frontier_moved(struct f3_waiter *w, int result)
{
	struct parked *pk = (struct parked *)w;

	if (result)
		answer(pk, result);
	else
		follow(pk);
}

/* A reader who follows the writers, at any point of his wait. */
static void follow(struct parked *pk)
{
	uint64_t len;
	int r;

	pk->w.fn = frontier_moved;
	pk->refs++; /* ours, as above */
	if (!pk->number)
		make_interruptible(pk);
	r = f3_stream_need(pk->inode, pk->off, pk->wanted, true, &pk->w, &len);
	if (r == 1 && len) {
		pk->size = (size_t)len;
		start(pk);
	} else if (r == 1) {
		answer_bytes(pk, 0);
	} else if (r < 0) {
		answer(pk, r);
	} else if (pk->interrupted && cancel_wait(pk)) {
		answer(pk, -EINTR);
	}
	parked_put(pk);
}

void f3_park_read(struct f3_fuse *f, fuse_req_t req, struct f3_open *open,
		  const struct f3_read *read)
{
	struct f3_inode *inode = open->inode;
	struct f3_core *core = f->core;
	struct f3_caller who = { .pid = fuse_req_ctx(req)->pid };
	uint64_t ino = inode->ino; /* once replied to, the inode may be gone */
	size_t size = read->size;
	struct parked *pk;
	enum f3_class class_;
	bool complete, withdrawn, noatime = open->flags & O_NOATIME;
	uint64_t len = 0;
	int fd, r = 1;

	if (open->act)
		f3_ws_read(open->act, inode, read->off, size);
	if (open->stream) {
		/* For splice(2) the kernel keeps pages, as they are now, and finds the end where the file
		 * ends now. Refused, programs read. To hold it would hold the page, and whoever writes
		 * or opens the file. */
		r = read->for_pages && f3_stream_open(inode) ?
			    -EINVAL :
			    f3_stream_need(inode, read->off, size, !read->nonblock, NULL, &len);
		if (r == -EAGAIN)
			f3_open_note_read(f->opens, open, read->off);
		if ((r < 0 && r != -EAGAIN) || (r == -EAGAIN && read->nonblock)) {
			fuse_reply_err(req, -r);
			f3_op_finished(f, F3_OP_READ, read->start_ns, ino, NULL, &who, r);
			return;
		}
		size = (size_t)len;
	} else if (reply_lent(f, req, inode, read->off, size)) {
		f3_op_finished(f, F3_OP_READ, read->start_ns, ino, NULL, &who, 0);
		return;
	}
	f3_lock(&inode->lock);
	class_ = (enum f3_class)inode->rec.class_;
	complete = f3_file_complete(inode);
	fd = complete && !noatime ? f3_file_fd(core, inode) : -1;
	withdrawn = f3_commitset_withdrawn(inode);
	f3_unlock(&inode->lock);
	if (withdrawn) {
		fuse_reply_err(req, EIO);
		f3_op_finished(f, F3_OP_READ, read->start_ns, ino, NULL, &who, -EIO);
		return;
	}
	if (fd >= 0 && r == 1 && read_cached(f, req, open, fd, class_, size, read->off)) {
		f3_op_finished(f, F3_OP_READ, read->start_ns, ino, NULL, &who, 0);
		return;
	}
	pk = parked_new(f, req, inode, F3_OP_READ, read->start_ns);
	if (!pk) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pk->off = read->off;
	pk->size = size;
	pk->noatime = noatime;
	pk->source = open->stream ? F3_ACT_STREAM : complete ? F3_ACT_LOCAL : F3_ACT_OBJECT;
	if (open->stream) {
		pk->wanted = read->size;
		pk->fh = open->fh;
		follow(pk);
	} else if (complete) {
		start_read(pk);
	} else {
		start_fill(pk);
	}
}

/* ESTALE has the kernel look the name up anew and open it once more. By then it knows that there is
 * something to read, which without asking it would learn only after we do. */
static void first_here(struct f3_waiter *w, int result)
{
	answer((struct parked *)w, result ? result : -ESTALE);
}

void f3_park_open(struct f3_call *copy)
{
	struct f3_inode *inode;
	struct parked *pk = NULL;
	int r = f3_inode_get(copy->f->core, copy->ino, &inode);

	if (!r) {
		pk = parked_new(copy->f, copy->req, inode, copy->op, copy->start_ns);
		f3_inode_put(copy->f->core, inode);
	}
	if (!pk) {
		f3_call_fail(copy, r ? r : -ENOMEM);
		return;
	}
	pk->again = copy;
	pk->w.fn = first_here;
	pk->refs++; /* ours: once it waits it may be gone any time */
	make_interruptible(pk);
	r = f3_stream_empty(copy->f->core, inode, &pk->w);
	if (r <= 0)
		first_here(&pk->w, r);
	else if (pk->interrupted && cancel_wait(pk))
		answer(pk, -EINTR);
	parked_put(pk);
}

static void expect(struct parked *pk);

static void expected_here(struct f3_waiter *w, int result)
{
	if (result)
		answer((struct parked *)w, result);
	else
		expect((struct parked *)w);
}

/* At any point of the wait for what has not been made, and then for its writer. */
static void expect(struct parked *pk)
{
	struct f3_inode *inode;
	int r;

	pk->w.fn = expected_here;
	pk->refs++; /* ours, as above */
	r = f3_expect_need(pk->f->core, pk->again->ino, pk->who.pid, pk->start_ns, &pk->w, &inode);
	if (inode) {
		pk->inode = inode;
		pk->w.fn = first_here;
		r = f3_expect_unwritten(pk->f->core, inode, &pk->w);
		r = r == 1 ? 0 : r ? r : 1;
	}
	if (r)
		answer(pk, r == 1 ? -ESTALE : r);
	else if (pk->interrupted && cancel_wait(pk))
		answer(pk, -EINTR);
	parked_put(pk);
}

void f3_park_expected(struct f3_call *copy)
{
	struct parked *pk = parked_new(copy->f, copy->req, NULL, copy->op, copy->start_ns);

	if (!pk) {
		f3_call_fail(copy, -ENOMEM);
		return;
	}
	pk->again = copy;
	make_interruptible(pk);
	expect(pk);
}

static void committed(struct f3_waiter *w, int result)
{
	answer((struct parked *)w, result);
}

void f3_park_commit(struct f3_fuse *f, fuse_req_t req, struct f3_inode *inode, enum f3_op op,
		    size_t written, uint64_t start_ns)
{
	struct parked *pk = parked_new(f, req, inode, op, start_ns);
	int r;

	if (!pk) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	/* Not interruptible: an answer now would say that the commit failed. */
	pk->size = written;
	pk->w.fn = committed;
	r = f3_stage_commit(f->core, inode, &pk->w);
	if (r <= 0)
		answer(pk, r);
}
