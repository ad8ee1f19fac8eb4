/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object_s3: what the files of the s3:// backend share; nobody else includes it.
 *
 *   object_s3.c         open, close, the door of operations, cancelling
 *   object_s3_ask.c     one request: signed, sent, its answer judged, asked again where that is safe
 *   object_s3_get.c     GET: checked where the store knows a sum, asked for twice where that helps
 *   object_s3_read.c    HEAD
 *   object_s3_list.c    LIST, UPLOAD_LIST
 *   object_s3_write.c   PUT, DELETE, MKDIR, RMDIR
 *   object_s3_copy.c    COPY, SET_ATTR: what an object says besides is read, and kept
 *   object_s3_upload.c  uploads in parts
 *   object_s3_sums.c    what is sent is summed up first, for the store to check
 *
 * An operation is a call with up to two requests under way. A request is an ask: it goes
 *
 *   PREPARING (keys are being found) -> SENT -> its `then`
 *        ^                               |
 *        +------------ RESTING <---------+   may be asked again
 *
 * and calls `then` once, on the engine's thread or (wide) on one of the store's own.
 *
 * What may be asked again: whatever changes nothing; and a mutation of which it is certain that it
 * was not done (never sent, or refused with a code that says so). All others end AMBIGUOUS.
 *
 * Lock: s->lock guards the list of calls and each ask's state. Nothing is called with it held but
 * what hands a request to the engine or a timer, or takes it back: these call nobody in turn.
 */
#ifndef F3_OBJECT_OBJECT_S3_H
#define F3_OBJECT_OBJECT_S3_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "fs/base/lock.h"
#include "fs/base/workq.h"
#include "fs/net/http.h"
#include "fs/object/credentials.h"
#include "fs/object/object.h"
#include "fs/object/s3_answer.h"
#include "fs/object/s3_headers.h"
#include "fs/object/s3_place.h"
#include "fs/object/sigv4.h"

#define F3_S3_QUERY_MAX 8
#define F3_S3_TEXT_MAX (4u << 20)	/* of an answer that is text: a page of 1,000 keys */
#define F3_S3_PUT_MAX (5ull << 30)	/* S3: one PUT or copy */
#define F3_S3_PART_MIN (5ull << 20)
#define F3_S3_PARTS_MAX 10000u

struct f3_s3_call;

enum f3_s3_ask_state { F3_S3_IDLE, F3_S3_PREPARING, F3_S3_SENT, F3_S3_RESTING };

struct f3_s3_ask {
	/* Under the lock: whoever cancels looks at them at any time. */
	enum f3_s3_ask_state state;
	bool ready;			/* init was called */
	struct f3_s3 *s;
	struct f3_s3_call *call;
	/* the request */
	const char *method;
	char path[F3_S3_PATH_MAX];	/* not encoded */
	struct f3_sigv4_query query[F3_S3_QUERY_MAX];
	unsigned n_query;
	struct f3_s3_headers headers;	/* without those that signing adds */
	bool mutates;
	enum f3_obj_cond cond;
	bool of_bucket;			/* that there is no such thing says nothing about keys */
	bool once;			/* what is refused is not asked again */
	bool anyway;			/* also of a call that was cancelled: it clears up */
	bool wide;			/* `then` has much to do: on a thread of the store */
	bool has_body;
	const void *body;
	int fd;
	uint64_t fd_off, body_bytes;
	bool check_crc;
	uint32_t want_crc32c;
	char payload[F3_SIGV4_HEX];	/* SHA-256 of the body, where that is what protects it */
	void *into;
	size_t into_bytes;
	bool sum_answer;
	bool (*begins)(struct f3_s3_ask *a);	/* its answer does; false: it is not wanted any more */
	void (*then)(struct f3_s3_ask *a);
	/* what came of it */
	int result;			/* 0, -errno, F3_OBJ_AMBIGUOUS */
	unsigned status;
	char code[F3_S3_CODE_MAX + 1];
	char message[200];
	struct f3_s3_headers answer;
	bool cut;			/* what others noted was more than `answer` has room for */
	struct f3_buf text;
	uint64_t received;
	uint32_t sent_crc32c, received_crc32c;
	/* its own */
	struct f3_http_req http;
	struct f3_s3_headers signed_;
	struct f3_buf url;
	char access_key[F3_CRED_KEY_MAX + 1];	/* of the keys used; "": none were */
	struct f3_backoff backoff;
	struct f3_timer timer;
	struct f3_work work;
	unsigned tries, key_tries;
	int64_t dated_s;		/* seconds of the epoch it is signed with */
	uint32_t used_keys, refused_keys;	/* sums of those used, and of those that were refused; 0: none */
	int refused_as;			/* what it ends with if there are no others */
	uint64_t since_mono_ns, sent_mono_ns, retry_after_ns;
	const char *lines[F3_S3_HEADERS_MAX];
};

struct f3_s3_call {
	TAILQ_ENTRY(f3_s3_call) of_store;
	struct f3_s3 *s;
	struct f3_obj_op *op;
	_Atomic unsigned refs;		/* its life, and who is about to look at it after it may have ended */
	_Atomic bool cancelled;
	_Atomic unsigned pending;	/* asks under way, of those started together */
	struct f3_s3_ask a, b;		/* b: beside a */
	struct f3_work work;
	TAILQ_ENTRY(f3_s3_call) of_sums;
	bool wants_sum;			/* s->lock: it is in the list of those that wait for it */
	void (*sent)(struct f3_s3_ask *a);	/* then, once the body was summed up */
	void *body;			/* text that is sent; heap */
	char number[12];		/* of a part */
	char prefix[F3_OBJ_KEY_MAX + 2];	/* that is listed */
	/* of reads; s->lock */
	struct f3_timer hedge;		/* when it is asked for a second time */
	struct f3_s3_ask *winner;	/* whose answer came first */
	bool hedged;
	unsigned damaged;		/* answers that were not what their sum says */
	/* of copies in parts */
	struct f3_obj_info source;
	void *source_heap;
	char upload[F3_OBJ_UPLOAD_MAX + 1];
	struct f3_obj_part *parts;
	size_t n_parts, part;
	uint64_t part_bytes;
	const char *copy_key;		/* target of a copy */
	int failed;			/* what is answered once the parts are dropped */
};

TAILQ_HEAD(f3_s3_calls, f3_s3_call);

/* Conditions on the source of a copy: none are kept, S3's name, Ceph's besides. */
enum f3_s3_copy_cond { F3_S3_COPY_COND_NONE, F3_S3_COPY_COND_S3, F3_S3_COPY_COND_CEPH };

/* When a read is asked for a second time; s->lock. */
#define F3_S3_FIRST_BYTES 64
struct f3_s3_hedging {
	uint64_t after_ns;		/* not before; 0: never */
	uint64_t late_ns;		/* 95 of 100 answers came sooner, of late */
	uint64_t first_byte_ns[F3_S3_FIRST_BYTES];
	unsigned n;			/* of those, ever */
	unsigned credit;		/* for more requests than are needed */
};

struct f3_s3 {
	struct f3_object_store base;
	struct f3_s3_place place;
	char *url, *endpoint, *profile, *ca_file, *storage_class, *encryption, *kms_key;
	enum f3_s3_style style;
	unsigned max_parallel;
	bool anonymous;
	enum f3_s3_checksum checksum, wanted_checksum;
	enum f3_s3_checksum plain_checksum;	/* of parts of an upload that has copies */
	uint64_t timeout_ns;
	struct f3_s3_hedging hedging;
	struct f3_http *http;
	struct f3_workq *q;
	struct f3_cred_chain *chain;
	struct f3_budget *budget;
	uint64_t buffer_bytes;
	struct f3_lock lock;		/* F3_RANK_LOCAL */
	pthread_cond_t idle;
	struct f3_s3_calls calls;
	struct f3_s3_calls to_sum;	/* large bodies, in their order: several are summed up at once */
	unsigned n_to_sum, n_bodies;	/* of them; of those that were, and are under way */
	bool summing;
	struct f3_work sum_work;
	unsigned n_calls;		/* that are not freed yet, also of operations that have ended */
	bool closing;
	_Atomic int64_t skew_s;		/* the store's clock minus ours */
	_Atomic uint64_t down_since_ns;	/* nothing was done or refused since; 0: it was */
	char probe_etag[F3_OBJ_ETAG_MAX + 1];	/* while it is being opened */
	bool unquoted;			/* conditions of mutations want the ETag without quotes */
	enum f3_s3_copy_cond copy_cond;
};

/* object_s3_ask.c */
/* First init, then the fields, then start; reset to use it for another request of the same call. */
void f3_s3_ask_init(struct f3_s3_ask *a, struct f3_s3_call *call, const char *method);
void f3_s3_ask_done(struct f3_s3_ask *a);
/* Path of the bucket itself. */
void f3_s3_ask_bucket(struct f3_s3_ask *a);
/* Path of a key of the volume. 0 or -ENAMETOOLONG. */
int f3_s3_ask_key(struct f3_s3_ask *a, const char *key, bool marker);
/* value must stay until the end. */
void f3_s3_ask_query(struct f3_s3_ask *a, const char *name, const char *value);
/* If-Match, If-None-Match as the condition is; a->cond. */
void f3_s3_ask_cond(struct f3_s3_ask *a, enum f3_obj_cond cond, const char *etag);
void f3_s3_ask_start(struct f3_s3_ask *a, void (*then)(struct f3_s3_ask *a));
/* It ends soon, if it was begun. s->lock not held. */
void f3_s3_ask_cancel(struct f3_s3_ask *a, struct f3_s3 *s);
/* An ETag as conditions of this store have it. */
void f3_s3_etag_text(const struct f3_s3 *s, const char *etag, bool mutates,
		     char ret_text[F3_OBJ_ETAG_MAX + 3]);

/* object_s3.c */
void f3_s3_call_put(struct f3_s3_call *call);
/* Result and message are in the op. The call is gone afterwards. */
void f3_s3_end(struct f3_s3_call *call, int result);
/* As the ask says it. */
void f3_s3_end_as(struct f3_s3_call *call, const struct f3_s3_ask *a);
/* Storage class, encryption, content type: of a new object. */
void f3_s3_new_object(struct f3_s3_ask *a, const char *key);
void f3_s3_encryption(struct f3_s3_ask *a);

/* What each file does; called on any thread. */
void f3_s3_get(struct f3_s3_call *call);
void f3_s3_head(struct f3_s3_call *call);
void f3_s3_list(struct f3_s3_call *call);
void f3_s3_upload_list(struct f3_s3_call *call);
void f3_s3_put(struct f3_s3_call *call);
void f3_s3_delete(struct f3_s3_call *call);
void f3_s3_mkdir(struct f3_s3_call *call);
void f3_s3_rmdir(struct f3_s3_call *call);
void f3_s3_copy(struct f3_s3_call *call);	/* COPY and SET_ATTR */
void f3_s3_upload_create(struct f3_s3_call *call);
void f3_s3_upload_part(struct f3_s3_call *call);
void f3_s3_upload_part_copy(struct f3_s3_call *call);
void f3_s3_upload_complete(struct f3_s3_call *call);
void f3_s3_upload_abort(struct f3_s3_call *call);

/* object_s3_get.c */
void f3_s3_hedging_init(struct f3_s3_hedging *h, uint64_t after_ns);

/* object_s3_list.c */
/* Asks whether anything lies below a directory's key, and its marker. 0: then is called; or
 * -ENAMETOOLONG. */
int f3_s3_ask_below(struct f3_s3_ask *a, struct f3_s3_call *call, const char *key,
		    void (*then)(struct f3_s3_ask *a));
/* What the answer says. 0, -EIO, -ENOMEM. */
int f3_s3_first_below(const struct f3_s3_ask *a, const char *key, bool *ret_marker,
		      bool *ret_below);

/* object_s3_write.c */
/* Makes call->a a PUT of the op's key that sends its body. False: the call is gone. */
bool f3_s3_put_begin(struct f3_s3_call *call);

/* object_s3_sums.c */
/* Sends the op's body with call->a, its sum first. */
void f3_s3_send_body(struct f3_s3_call *call, void (*then)(struct f3_s3_ask *a));
/* True: it waited for its sum, and will never be sent. */
bool f3_s3_sums_cancel(struct f3_s3_call *call);
/* Memory it takes at most. */
#define F3_S3_SUMS_BYTES (512u << 10)

/* object_s3_upload.c, for copies of more than one request holds */
struct f3_s3_range {
	const char *key, *etag;	/* etag may be NULL */
	uint64_t off, len;
};
/* Makes call->a the creation of an upload, once it has its key and headers. */
void f3_s3_upload_headers(struct f3_s3_ask *a, bool copies);
/* Make call->a one request about an upload. 0 or -ENAMETOOLONG. complete: of call->body. */
int f3_s3_ask_part_copy(struct f3_s3_call *call, const char *key, uint32_t number,
			const char *upload, const struct f3_s3_range *from);
int f3_s3_ask_complete(struct f3_s3_call *call, const char *key, const char *upload);
/* Their answers. 0, -EBADMSG, -ENOMEM. */
int f3_s3_part_copied(const struct f3_s3_ask *a, struct f3_obj_part *ret_part);
/* Some say that it is done, and not what the object's tag is: ends the call with what is found under
 * the key, AMBIGUOUS if its generation is not the op's. */
void f3_s3_look_at(struct f3_s3_call *call, const char *key);
int f3_s3_completed(const struct f3_s3_ask *a, struct f3_obj_info *ret_info);
/* Body of a completion; heap. -ENOMEM */
int f3_s3_complete_body(const struct f3_obj_part *parts, size_t n, bool with_sums,
			char **ret_body);
/* Text of one element of an answer: "InitiateMultipartUploadResult/UploadId". -EBADMSG: none. */
int f3_s3_element(const struct f3_buf *text, const char *path, char *out, size_t size);
/* x-amz-copy-source of a key, and the condition on it. 0, -ENAMETOOLONG. */
int f3_s3_copy_source(struct f3_s3_ask *a, const char *key, const char *etag);

#endif
