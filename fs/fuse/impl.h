/* SPDX-License-Identifier: Apache-2.0 */
/*
 * impl: what the files of fs/fuse share; nobody else includes it.
 *
 * A request is a f3_call: arguments by value and by pointer into the kernel's buffer. Its function
 * replies and returns 0, returns -errno to have that replied, or returns -F3_EWAIT: then the call
 * is copied to the heap and made again on a thread that may block. There it may also return -F3_EROOM,
 * to be made again from its beginning when there may be room (lack.h): until then no thread has it.
 * After the reply the request and the call are gone.
 */
#ifndef F3_FUSE_IMPL_H
#define F3_FUSE_IMPL_H

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)

#include <fuse_lowlevel.h>
#include <sched.h>

#include "fs/base/metric.h"
#include "fs/core/activation.h"
#include "fs/core/file.h"
#include "fs/core/namespace.h"
#include "fs/fuse/keep.h"
#include "fs/fuse/session.h"

#define F3_FUSE_MAX_IO (1u << 20)

enum f3_op {
	F3_OP_LOOKUP, F3_OP_GETATTR, F3_OP_SETATTR, F3_OP_READLINK, F3_OP_MKNOD, F3_OP_MKDIR,
	F3_OP_UNLINK, F3_OP_RMDIR, F3_OP_SYMLINK, F3_OP_RENAME, F3_OP_LINK, F3_OP_OPEN, F3_OP_CREATE,
	F3_OP_TMPFILE, F3_OP_READ, F3_OP_WRITE, F3_OP_FLUSH, F3_OP_RELEASE, F3_OP_FSYNC,
	F3_OP_OPENDIR, F3_OP_READDIR, F3_OP_RELEASEDIR, F3_OP_FSYNCDIR, F3_OP_STATFS,
	F3_OP_SETXATTR, F3_OP_GETXATTR, F3_OP_LISTXATTR, F3_OP_REMOVEXATTR, F3_OP_FALLOCATE,
	F3_OP_LSEEK, F3_OP_COPY, F3_OP_MAX
};

/* One open file description. The kernel knows it by a number, so that it can be found again by
 * whoever serves the mount after us. */
struct f3_open {
	uint64_t fh;			/* 0: free */
	struct f3_inode *inode;		/* referenced; NULL for virtual files */
	int flags;
	bool writer, native;
	bool stream;			/* a reader that follows the writers */
	bool killed;			/* the last who closed it was killed by a signal */
	_Atomic uint64_t next_off;	/* where its last read ended that came to the daemon */
	struct f3_poll *_Atomic poll;	/* of a stream's reader: to be told when there is more */
	pid_t opener;			/* process that opened it, where close() has something to say */
	struct f3_virtual *virt;
	struct f3_activation *act;	/* whose process opened it; a reference, or NULL */
	uint64_t opened_bytes;		/* the file's size then, where act is */
	uint64_t opened_from;		/* and the content a writer goes on from; 0: none */
	uint32_t slot;
	struct f3_open *next_free;
};

struct f3_opens;
struct f3_parked;
struct f3_sprint;

struct f3_fuse {
	struct f3_core *core;
	struct fuse_session *se;
	struct f3_loop *loop;
	struct f3_sprint *sprint;	/* NULL: sprint_reason says why not */
	const char *sprint_reason;
	cpu_set_t home;			/* the daemon's CPUs when it began to serve */
	struct f3_opens *opens;
	struct f3_keep *keep;
	struct f3_lock ids_lock;	/* backing ids in the keep */
	struct f3_parked *parked;
	struct f3_workq *notify;
	struct f3_notifier *notifier;
	char mountpoint[4096];
	unsigned threads;
	bool passthrough, uring, direct_mmap;
	_Atomic bool mounted;
	bool not_served;		/* mounted by us, and nobody has seen it work */
	const char *passthrough_reason;
	_Atomic bool decided;		/* what is said above of transport, passthrough and sprints stays */
	_Atomic bool stopping;
	_Atomic bool frozen;		/* another daemon goes on: what waits is left to it */
	_Atomic uint64_t slow_ns;	/* log operations slower than this; 0: none */
};

struct f3_call {
	struct f3_work work;		/* on core->blocking, once it is on the heap */
	struct f3_fuse *f;
	fuse_req_t req;
	int (*fn)(struct f3_call *call);
	enum f3_op op;
	uint64_t start_ns;
	struct f3_caller who;
	bool again;			/* the daemon that had it died before it answered */
	uint64_t answered_ino;		/* it had carried it out, and this came of it; 0: it had not */
	uint64_t ino, ino2;
	const char *name, *name2;
	const void *value;
	size_t size;
	uint64_t off, off2, fh, fh2;
	struct f3_inode *file, *file2;	/* open as fh and fh2; the copy on the heap has references */
	bool on_heap;
	int flags, mode;
	unsigned set;
	dev_t rdev;
	struct stat st;
	bool kill_priv, plus;
	uint64_t wait_until_ns;		/* it waits for room, at most till then; 0: it did not yet */
	size_t parked_bytes, buffer_bytes;	/* of the copy on the heap, taken from the budget */
};

/* Fills in request, caller and function of a call. */
void f3_call_init(struct f3_call *call, fuse_req_t req, enum f3_op op,
		  int (*fn)(struct f3_call *));
/* Makes the call; see above. */
void f3_call_run(struct f3_call *call);
/* A copy on the heap, with what it refers to; itself, if it is one. NULL: out of memory. */
struct f3_call *f3_call_dup(struct f3_call *call);
/* Answers a copy with -errno, and frees it. */
void f3_call_fail(struct f3_call *copy, int error);
/* Accounts for an operation that answered by itself later (parked): metrics, logs. who->may_block: it
 * did not come from memory, and waited. */
void f3_op_finished(struct f3_fuse *f, enum f3_op op, uint64_t start_ns, uint64_t ino,
		    const char *name, const struct f3_caller *who, int result);
const char *f3_op_name(enum f3_op op);
void f3_ops_register_metrics(void);
void f3_open_register_metrics(void);
void f3_data_register_metrics(void);
/* So many bytes were read through the daemon for this thread. */
void f3_data_count_read(struct f3_core *core, pid_t pid, enum f3_class class_,
			enum f3_act_source source, uint64_t bytes);
/* The process of a thread (/proc); 0 if it is gone. */
pid_t f3_process_of(pid_t thread);

/* Does the kernel want suid, sgid and capabilities gone with this write or truncating open?
 * libfuse before 3.18 keeps that to itself: then they always go, which POSIX allows. */
static inline bool f3_kills_priv(const struct fuse_file_info *fi)
{
#ifdef HAVE_STRUCT_FUSE_FILE_INFO_KILL_SUIDGID
	return fi->kill_suidgid;
#else
	return fi != NULL;
#endif
}

static inline double f3_seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

/* A write that goes through the daemon takes suid and sgid away unseen by the kernel, which would
 * go on trusting the mode it knows. */
static inline double f3_attr_seconds(const struct f3_entry *e)
{
	bool may_lose = S_ISREG(e->st.st_mode) && (e->st.st_mode & (S_ISUID | S_ISGID));

	return may_lose ? 0 : f3_seconds(e->attr_ttl_ns);
}
void f3_entry_param(const struct f3_entry *e, struct fuse_entry_param *ret);

/* Notes the number of the request that is processed next on this thread. */
void f3_request_begins(const void *request);
/* What the kernel calls the description that is polled, if the request is a poll. */
uint64_t f3_request_poll(void);

/* loop.c: reads and answers requests until the session ends. */
struct f3_loop;
int f3_loop_new(struct f3_fuse *f, struct f3_loop **ret_l);
void f3_loop_free(struct f3_loop *l);
int f3_loop_run(struct f3_loop *l);
/* Ends it although the mount lives on. Not from one of its threads. */
void f3_loop_stop(struct f3_loop *l);

/* rings.c: a thread of the io_uring transport has a request. */
void f3_ring_saw(const struct f3_call *call);

/* opens.c */
int f3_opens_new(struct f3_keep *keep, struct f3_opens **ret_o);
void f3_opens_free(struct f3_opens *o);
/* Nothing is opened or closed any more. */
void f3_opens_forget_activations(struct f3_opens *o);
struct f3_open *f3_open_new(struct f3_opens *o);	/* NULL: no memory */
struct f3_open *f3_open_find(struct f3_opens *o, uint64_t fh);
/* Before the kernel is told its number. */
struct f3_call;
void f3_open_keep(const struct f3_call *call, const struct f3_open *open,
		  const struct f3_open_plan *plan, uint64_t ino);
void f3_open_drop(struct f3_opens *o, struct f3_open *open);
/* A reader of a stream has come to here. */
void f3_open_note_read(struct f3_opens *o, struct f3_open *open, uint64_t off);
/* Somebody polls it: should this daemon die, the next one wakes him, to ask again. */
void f3_open_note_poll(struct f3_opens *o, struct f3_open *open, uint64_t kh);
/* Whoever closed it last was killed, or was not. */
void f3_open_note_killed(struct f3_opens *o, struct f3_open *open, bool killed);
/* What the last daemon had open. Once, before anything is opened. */
int f3_opens_restore(struct f3_fuse *f, struct f3_err *err);
/* The description that a request opened which is asked again; NULL: it got not so far. */
struct f3_open *f3_open_of_request(struct f3_opens *o, uint64_t unique,
				   struct f3_open_plan *ret_plan);
uint64_t f3_opens_count(struct f3_opens *o);

/* ops_name.c, ops_attr.c, ops_open.c, ops_data.c: tables of handlers. */
void f3_ops_name(struct fuse_lowlevel_ops *ops);
void f3_ops_attr(struct fuse_lowlevel_ops *ops);
void f3_ops_open(struct fuse_lowlevel_ops *ops);
void f3_ops_data(struct fuse_lowlevel_ops *ops);

/* poll.c */
void f3_ops_poll(struct fuse_lowlevel_ops *ops);
/* The description is gone: nobody is told any more. */
void f3_poll_drop(struct f3_open *open, struct f3_inode *inode);

/* notify.c: invalidations, on a thread of their own. */
int f3_notify_start(struct f3_fuse *f);
void f3_notify_ops(struct f3_fuse *f, struct f3_kernel_ops *ret_ops);
/* Takes a registered backing file back. */
void f3_backing_id_close(struct f3_fuse *f, int id);

/* park.c: reads that wait. */
int f3_parked_new(struct f3_parked **ret_p);
void f3_parked_free(struct f3_parked *p);
uint64_t f3_parked_count(struct f3_parked *p);
struct f3_read {
	uint64_t off, start_ns;
	size_t size;
	bool nonblock;		/* O_NONBLOCK */
	bool for_pages;		/* the kernel reads for its page cache, not for a read(2) */
};
/* Reads of an open file and replies, now or when the bytes are there. */
void f3_park_read(struct f3_fuse *f, fuse_req_t req, struct f3_open *open,
		  const struct f3_read *read);
/* Answers an open (f3_call_dup) so that it is asked for again, when its file has something to read. */
void f3_park_open(struct f3_call *copy);
/* The same when what its number stands for has been made (expect.h). */
void f3_park_expected(struct f3_call *copy);
/* Replies to a flush or fsync, or to a write of so many bytes, when the content of now is durable. */
void f3_park_commit(struct f3_fuse *f, fuse_req_t req, struct f3_inode *inode, enum f3_op op,
		    size_t written, uint64_t start_ns);

/* virtual.c: .stats .config .accesslog */
#define F3_INO_STATS 2ull
#define F3_INO_CONFIG 3ull
#define F3_INO_ACCESSLOG 4ull
struct f3_virtual;
uint64_t f3_virtual_ino(const char *name);		/* 0: no such file */
bool f3_virtual_is(uint64_t ino);
void f3_virtual_entry(uint64_t ino, struct f3_entry *ret_e);
int f3_virtual_open(struct f3_fuse *f, uint64_t ino, uid_t uid, struct f3_virtual **ret_v);
/* Replies. */
void f3_virtual_read(fuse_req_t req, struct f3_virtual *v, size_t size,
		     uint64_t off);
void f3_virtual_close(struct f3_virtual *v);
/* One line for readers of .accesslog; cheap when there is none. */
void f3_accesslog_line(const char *line, size_t len);
bool f3_accesslog_readers(void);

/* accesslog.c */
bool f3_access_wanted(void);
void f3_access(enum f3_op op, uint64_t took_ns, uint64_t ino, const char *name,
	       const struct f3_caller *who, int result);
void f3_access_close(void);

#endif
