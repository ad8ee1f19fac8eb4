/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/door.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fs/base/log.h"

#define GROUPS_MAX 256u
#define NAME_BYTES 64

/* ---- Who comes ------------------------------------------------------------------------------- */

static bool in_groups(const struct f3_door *door, int fd, gid_t primary)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);
	size_t n = 0;

	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		n = len / sizeof(groups[0]);
	for (size_t i = 0; i < door->n_gids; i++) {
		if (door->gids[i] == primary)
			return true;
		for (size_t k = 0; k < n; k++)
			if (door->gids[i] == groups[k])
				return true;
	}
	return false;
}

static bool allowed(const struct f3_door *door, int fd, bool *ret_root)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
		return false;
	*ret_root = who.uid == 0 || who.uid == geteuid();
	if (*ret_root)
		return true;
	for (size_t i = 0; i < door->n_uids; i++)
		if (door->uids[i] == who.uid)
			return true;
	return in_groups(door, fd, who.gid);
}

void f3_door_turn_away(int fd, const char *error, const char *message)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "{\"ok\":false,\"error\":\"%s\",\"message\":\"%s\"}\n",
			 error, message);

	(void)send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

/* Out of descriptors a caller would be announced for ever: the spare one lets it in and out. */
static void drop_one(struct f3_door *door)
{
	int fd;

	close(door->spare_fd);
	fd = accept4(door->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		f3_door_turn_away(fd, "EMFILE", "the daemon is out of file descriptors");
	door->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int f3_door_accept(struct f3_door *door, int flags, bool *ret_root)
{
	int fd = accept4(door->listen_fd, NULL, NULL, SOCK_CLOEXEC | flags);
	char message[128];

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			drop_one(door);
		return -EAGAIN;
	}
	*ret_root = false;
	if (allowed(door, fd, ret_root))
		return fd;
	snprintf(message, sizeof(message), "not for this user: see %s and %s in f3.conf(5)",
		 door->spec->uid_key, door->spec->gid_key);
	f3_door_turn_away(fd, "EACCES", message);
	return -EAGAIN;
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static void read_ids(const struct f3_conf *conf, const char *key, uint32_t *ids, size_t *ret_n)
{
	const char *const *values;
	size_t n = f3_conf_list(conf, "f3", NULL, key, &values);

	if (n > F3_DOOR_IDS_MAX) {
		f3_log_warn("%s: only the first %u are used", key, F3_DOOR_IDS_MAX);
		n = F3_DOOR_IDS_MAX;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t id;

		/* the option table let only such numbers through */
		if (!f3_parse_uint(values[i], UINT32_MAX, &id))
			ids[(*ret_n)++] = (uint32_t)id;
	}
}

/* The name before it is published. */
static void new_name(const struct f3_door *door, char out[NAME_BYTES])
{
	snprintf(out, NAME_BYTES, "%s.new", door->spec->name);
}

static int clear_way(const struct f3_door *door, const char *dir, struct f3_err *err)
{
	char name[NAME_BYTES];
	struct stat st;

	new_name(door, name);
	if (!fstatat(door->dir_fd, door->spec->name, &st, AT_SYMLINK_NOFOLLOW) &&
	    !S_ISSOCK(st.st_mode))
		return f3_err_set(err, -EEXIST, "%s/%s is in the way, and not a socket", dir,
				  door->spec->name);
	if ((unlinkat(door->dir_fd, door->spec->name, 0) && errno != ENOENT) ||
	    (unlinkat(door->dir_fd, name, 0) && errno != ENOENT))
		return f3_err_set(err, -errno, "run directory %s is not writable: %s", dir,
				  strerror(errno));
	return 0;
}

static int make_socket(struct f3_door *door, const char *dir, struct f3_err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *shown = door->spec->name;
	char name[NAME_BYTES];
	mode_t mode = 0660;

	new_name(door, name);
	/* The directory's name may be longer than an address can be. */
	if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", dir, name) >=
	    (int)sizeof(addr.sun_path))
		snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", door->dir_fd,
			 name);
	door->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (door->listen_fd < 0 || bind(door->listen_fd, (struct sockaddr *)&addr, sizeof(addr)))
		return f3_err_set(err, -errno, "%s/%s cannot be made: %s", dir, shown,
				  strerror(errno));
	/* One group can be the file's. For anything else everybody may knock, and is looked at. */
	if (door->n_uids || door->n_gids > 1)
		mode = 0666;
	else if (door->n_gids && fchownat(door->dir_fd, name, (uid_t)-1, door->gids[0], 0))
		return f3_err_set(err, -errno, "%s/%s cannot be given to group %u: %s", dir, shown,
				  door->gids[0], strerror(errno));
	if (fchmodat(door->dir_fd, name, mode, 0))
		return f3_err_set(err, -errno, "%s/%s: %s", dir, shown, strerror(errno));
	return 0;
}

void f3_door_init(struct f3_door *door)
{
	*door = (struct f3_door){ .dir_fd = -1, .listen_fd = -1, .spare_fd = -1 };
}

int f3_door_open(struct f3_door *door, const struct f3_door_spec *spec, const struct f3_conf *conf,
		 const char *dir, struct f3_err *err)
{
	int r;

	f3_door_init(door);
	door->spec = spec;
	read_ids(conf, spec->uid_key, door->uids, &door->n_uids);
	read_ids(conf, spec->gid_key, door->gids, &door->n_gids);
	door->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	door->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (door->dir_fd < 0 || door->spare_fd < 0)
		r = f3_err_set(err, -errno, "the %s socket in %s: %s", spec->what, dir,
			       strerror(errno));
	else
		r = clear_way(door, dir, err);
	if (!r)
		r = make_socket(door, dir, err);
	if (r)
		f3_door_close(door);
	return r;
}

int f3_door_publish(struct f3_door *door, int backlog, struct f3_err *err)
{
	char name[NAME_BYTES];

	new_name(door, name);
	if (listen(door->listen_fd, backlog) ||
	    renameat(door->dir_fd, name, door->dir_fd, door->spec->name))
		return f3_err_set(err, -errno, "the %s socket: %s", door->spec->what,
				  strerror(errno));
	door->published = true;
	return 0;
}

void f3_door_close(struct f3_door *door)
{
	char name[NAME_BYTES];

	if (door->listen_fd >= 0) {
		new_name(door, name);
		unlinkat(door->dir_fd, door->published ? door->spec->name : name, 0);
		close(door->listen_fd);
	}
	if (door->dir_fd >= 0)
		close(door->dir_fd);
	if (door->spare_fd >= 0)
		close(door->spare_fd);
	f3_door_init(door);
}
