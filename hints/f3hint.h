/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3hint: hints to F3 from C: see f3hint(3), and f3-hint-protocol(7) for what can be said.
 *
 *     struct f3hint *h = f3hint_new(NULL);
 *     const char *paths[] = { "/model.bin" };
 *
 *     if (h && f3hint_prefetch(h, "photos", paths, 1, NULL))
 *         fprintf(stderr, "%s\n", f3hint_reason(h));
 *     f3hint_free(h);
 *
 * Requests and answers are JSON objects as text. The connection is made when it is first needed and
 * made anew when it was lost. Functions return 0 or -errno. A handle belongs to one thread at a time;
 * handles do not know each other. No signal is ever raised, no global state is changed.
 *
 * What is declared here stays: functions are added, under a new version of their symbols, not changed.
 */
#ifndef F3HINT_H
#define F3HINT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define F3HINT_SOCKET "/run/f3/hint.sock"
#define F3HINT_LINE_MAX 65536	/* bytes of a request or an answer */
#define F3HINT_PENDING_MAX 1024	/* requests sent and not answered */
#define F3HINT_TIMEOUT_MS 5000	/* what a handle has at first */

struct f3hint;

/* socket: NULL is the environment variable F3_HINT_SOCKET, or F3HINT_SOCKET. Nothing is connected yet.
 * NULL: no memory, or the path is longer than 4095 bytes. */
struct f3hint *f3hint_new(const char *socket);
void f3hint_free(struct f3hint *h);
/* For connecting and for each wait; 0: for ever. */
void f3hint_set_timeout(struct f3hint *h, unsigned timeout_ms);

/* Connects, if it is not, and asks for the protocol's version. -ENOENT, -ECONNREFUSED: no daemon,
 * -EACCES: not for this user, -EPROTO: what answers is no F3, or one of another version. */
int f3hint_connect(struct f3hint *h);
/* Of the connection, for poll(2): readable when f3hint_receive has something to do. -1: none. */
int f3hint_fd(const struct f3hint *h);

/* One request and its answer. *ret_answer (may be NULL) is valid until the next call with h, and also
 * set where the daemon refuses: then the error it names is returned. -EBADMSG, -EMSGSIZE: the request
 * is none, or too long, and was not sent. -ETIMEDOUT; the answer, should it still come, is thrown
 * away. If the connection is lost, the request is sent once more over a new one. */
int f3hint_ask(struct f3hint *h, const char *request, const char **ret_answer);

/* Without waiting for the answer; *ret_id tells whose it is when it comes. -EAGAIN: F3HINT_PENDING_MAX
 * are pending. While the daemon does not take more, answers that come are kept. When this fails
 * otherwise, the connection is lost, and with it the answers to all that is pending. */
int f3hint_send(struct f3hint *h, const char *request, uint64_t *ret_id);
/* The next answer to a request that was sent, in the order in which they come. As f3hint_ask, and:
 * -ETIMEDOUT: none has come within timeout_ms (-1: the handle's time-out, 0: not waiting); -ENOMSG:
 * nothing is pending; -ECONNRESET: the connection was lost, *ret_id will not be answered. But for
 * -ETIMEDOUT and -ENOMSG *ret_id is set. */
int f3hint_receive(struct f3hint *h, int timeout_ms, uint64_t *ret_id, const char **ret_answer);
unsigned f3hint_pending(const struct f3hint *h);

/* Requests of their own: `paths` begin with a slash and are inside the volume. */
int f3hint_locate(struct f3hint *h, const char *volume, const char *const *paths, size_t n_paths,
		  const char **ret_answer);
int f3hint_prefetch(struct f3hint *h, const char *volume, const char *const *paths, size_t n_paths,
		    const char **ret_answer);

/* Shows `path` of the volume, a directory, as run-dir/views/VIEW. mode: "ro" or "rw". container, pid: what
 * the platform calls the container, and a process in it; NULL, 0: not told. Both may be repeated. */
int f3hint_bind(struct f3hint *h, const char *view, const char *namespace_, const char *volume,
		const char *path, const char *mode, const char *container, int pid,
		const char **ret_answer);
int f3hint_unbind(struct f3hint *h, const char *view, const char **ret_answer);

/* Why the last call failed, for people. Never NULL; valid until the next call. */
const char *f3hint_reason(const struct f3hint *h);
/* "0.1.0": of the library. */
const char *f3hint_version(void);

#ifdef __cplusplus
}
#endif

#endif
