/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3ctl_place: from what a person writes to a volume and a path inside it.
 *
 * Which mount a path lies on is read from /proc/self/mountinfo, so that bind mounts of a volume
 * are understood and F3's mount itself is not touched unless the path says so: only where it leads
 * through "..", or lies on no such mount, its directory is resolved.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/f3ctl.h"
#include "fs/base/text.h"

#define TEXT_MAX (4u << 20)

/* ---- mountinfo ------------------------------------------------------------------------------- */

/* The next field; blanks in it are written as octal escapes, which are taken out. */
static size_t field(const char **at, char *out, size_t size)
{
	const char *p = *at;
	size_t n = 0;

	while (*p == ' ')
		p++;
	while (*p && *p != ' ' && *p != '\n') {
		char c = *p++;

		if (c == '\\' && p[0] >= '0' && p[0] <= '3' && p[1] >= '0' && p[1] <= '7' &&
		    p[2] >= '0' && p[2] <= '7') {
			c = (char)((p[0] - '0') << 6 | (p[1] - '0') << 3 | (p[2] - '0'));
			p += 3;
		}
		if (n + 1 < size)
			out[n++] = c;
	}
	out[n] = '\0';
	*at = p;
	return n;
}

struct mount {
	char device[32];
	char root[PATH_MAX], point[PATH_MAX];
};

static const char *parse_line(const char *line, struct mount *m)
{
	const char *end = strchr(line, '\n');
	char ignored[32];

	field(&line, ignored, sizeof(ignored));
	field(&line, ignored, sizeof(ignored));
	field(&line, m->device, sizeof(m->device));
	field(&line, m->root, sizeof(m->root));
	field(&line, m->point, sizeof(m->point));
	return end ? end + 1 : NULL;
}

/* What comes after `top` in `path`: "" or "/..."; NULL if it is not below it. */
static const char *below(const char *path, const char *top)
{
	size_t len = strcmp(top, "/") ? strlen(top) : 0;

	if (strncmp(path, top, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	return path + len;
}

static void join(struct f3_buf *out, const char *root, const char *rest)
{
	f3_buf_reset(out);
	f3_buf_printf(out, "%s%s", strcmp(root, "/") ? root : "", rest);
	if (!out->len)
		f3_buf_printf(out, "/");
}

int f3ctl_inside(const char *absolute, const char *mountpoint, const char *mountinfo,
		 struct f3_buf *out)
{
	struct mount *m = malloc(sizeof(*m));
	char device[32] = "", best[32] = "";
	size_t longest = 0;
	const char *rest;

	if (!m)
		return -ENOMEM;
	/* Later lines lie over earlier ones of the same place. */
	for (const char *line = mountinfo; line && *line;) {
		line = parse_line(line, m);
		if (!strcmp(m->point, mountpoint))
			memcpy(device, m->device, sizeof(device));
		rest = below(absolute, m->point);
		if (!rest || strlen(m->point) < longest)
			continue;
		longest = strlen(m->point);
		memcpy(best, m->device, sizeof(best));
		join(out, m->root, rest);
	}
	free(m);
	if (device[0])
		return strcmp(device, best) ? -EXDEV : out->error;
	/* Mounted where we do not see it, in another mount namespace say: the name alone counts. */
	rest = below(absolute, mountpoint);
	if (!rest)
		return -EXDEV;
	join(out, "/", rest);
	return out->error;
}

/* ---- Paths ----------------------------------------------------------------------------------- */

static int read_mountinfo(struct f3_buf *out)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char bytes[4096];
	size_t n;

	if (!file)
		return -errno;
	while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		f3_buf_put(out, bytes, n);
	fclose(file);
	f3_buf_put_u8(out, 0);
	return out->error;
}

/* Absolute and without "." and empty names; *ret_up: there is a ".." in it. */
static int tidy(const char *arg, struct f3_buf *out, bool *ret_up)
{
	char here[PATH_MAX];

	*ret_up = false;
	if (arg[0] != '/') {
		if (!getcwd(here, sizeof(here)))
			return -errno;
		f3_buf_printf(out, "%s", strcmp(here, "/") ? here : "");
	}
	while (*arg) {
		size_t len;

		arg += strspn(arg, "/");
		len = strcspn(arg, "/");
		if (len && !(len == 1 && arg[0] == '.'))
			f3_buf_printf(out, "/%.*s", (int)len, arg);
		if (len == 2 && arg[0] == '.' && arg[1] == '.')
			*ret_up = true;
		arg += len;
	}
	if (!out->len)
		f3_buf_printf(out, "/");
	return out->error;
}

/* The directory it lies in resolved, its own name as it is: a symbolic link is meant itself. */
static int resolve(struct f3_buf *path)
{
	const char *text = (const char *)path->data;
	const char *slash = strrchr(text, '/');
	char parent[PATH_MAX], real[PATH_MAX], name[NAME_MAX + 1];

	if (!strcmp(slash + 1, "..")) {
		if (!realpath(text, real))
			return -errno;
		f3_buf_reset(path);
		f3_buf_printf(path, "%s", real);
		return path->error;
	}
	if (strlen(text) >= sizeof(parent) || strlen(slash + 1) >= sizeof(name))
		return -ENAMETOOLONG;
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - text), text);
	snprintf(name, sizeof(name), "%s", slash + 1);
	if (!realpath(parent[0] ? parent : "/", real))
		return -errno;
	f3_buf_reset(path);
	f3_buf_printf(path, "%s/%s", strcmp(real, "/") ? real : "", name);
	return path->error;
}

static bool is_volume(const json_t *mount, const char *name, size_t len)
{
	const json_t *volumes = json_object_get(mount, "volumes"), *one;
	bool found = false;
	struct f3_buf b;
	size_t i;

	f3_buf_init(&b, F3_WIRE_ANSWER_MAX);
	json_array_foreach(volumes, i, one)
	{
		f3_buf_reset(&b);
		if (!f3_wire_get_name(one, "name", &b) && b.len == len &&
		    !memcmp(b.data, name, len))
			found = true;
	}
	f3_buf_done(&b);
	return found;
}

static int place_on_mount(struct f3ctl *ctl, const char *arg, json_t *request)
{
	struct f3_buf path, info, inside, mountpoint;
	bool up = false;
	int r;

	f3_buf_init(&path, TEXT_MAX);
	f3_buf_init(&info, TEXT_MAX);
	f3_buf_init(&inside, TEXT_MAX);
	f3_buf_init(&mountpoint, TEXT_MAX);
	r = f3_wire_get_name(ctl->mount, "mountpoint", &mountpoint);
	f3_buf_put_u8(&mountpoint, 0);
	if (!r)
		r = read_mountinfo(&info);
	if (!r)
		r = tidy(arg, &path, &up);
	if (!r && up)
		r = resolve(&path);
	if (!r)
		r = f3ctl_inside((const char *)path.data, (const char *)mountpoint.data,
				 (const char *)info.data, &inside);
	if (r == -EXDEV && !up && !resolve(&path))
		r = f3ctl_inside((const char *)path.data, (const char *)mountpoint.data,
				 (const char *)info.data, &inside);
	if (!r)
		r = f3_wire_set_place(request, (const char *)inside.data, inside.len);
	if (r == -EXDEV)
		r = f3ctl_fail(ctl, "%s does not lie on %s", arg, (const char *)mountpoint.data);
	else if (r)
		r = f3ctl_fail(ctl, "%s: %s", arg, strerror(-r));
	f3_buf_done(&path);
	f3_buf_done(&info);
	f3_buf_done(&inside);
	f3_buf_done(&mountpoint);
	return r;
}

int f3ctl_place(struct f3ctl *ctl, const char *arg, json_t *request)
{
	const char *colon = strchr(arg, ':');
	int r = 0;

	if (!ctl->mount) {
		r = f3ctl_ask(ctl, f3ctl_request("mount"), NULL, NULL, &ctl->mount);
		if (r)
			return r;
	}
	if (!*arg)
		return f3ctl_fail(ctl, "an empty path");
	if (!colon || colon[1] != '/' || memchr(arg, '/', (size_t)(colon - arg)) ||
	    !is_volume(ctl->mount, arg, (size_t)(colon - arg)))
		return place_on_mount(ctl, arg, request);
	r = f3_wire_set_name(request, "volume", arg, (size_t)(colon - arg));
	if (!r)
		r = f3_wire_set_name(request, "path", colon + 1, strlen(colon + 1));
	return r ? f3ctl_fail(ctl, "%s", strerror(-r)) : F3CTL_OK;
}
