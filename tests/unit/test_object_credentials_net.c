/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys from containers, instances and STS, played by a small HTTP server in this process; renewal;
 * and spoilt answers.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "fs/object/sigv4.h"
#include "tests/unit/cred_unit.h"

/* ---- The server ------------------------------------------------------------------------------ */

#define ROUTES_MAX 8

struct route {
	char start[128]; /* of the request */
	unsigned status;
	char body[16384];
	bool hold; /* no answer until this is taken back */
	unsigned asked;
	char last[65536]; /* the last such request, whole */
};

static struct {
	pthread_mutex_t lock; /* guards all of it */
	pthread_cond_t changed;
	pthread_t thread;
	int fd, end[2];
	unsigned port;
	struct route routes[ROUTES_MAX];
	unsigned n_routes, strangers; /* requests without a route */
} server;

/* Reads a request, NUL behind it; false if there is none. */
static bool read_request(int fd, char *text, size_t size)
{
	size_t have = 0, want = 0;

	while (!want || have < want) {
		ssize_t n = read(fd, text + have, size - 1 - have);
		char *end, *length;

		if (n <= 0)
			return false;
		have += (size_t)n;
		text[have] = '\0';
		end = strstr(text, "\r\n\r\n");
		if (!want && end) {
			length = strcasestr(text, "\r\nContent-Length:");
			want = (size_t)(end + 4 - text);
			if (length && length < end)
				want += strtoul(length + 17, NULL, 10);
		}
	}
	return true;
}

/* Under the lock. */
static struct route *find_route(const char *request)
{
	for (unsigned i = 0; i < server.n_routes; i++)
		if (strncmp(request, server.routes[i].start, strlen(server.routes[i].start)) == 0)
			return &server.routes[i];
	return NULL;
}

static void answer(int fd)
{
	static char request[65536], text[20000];
	struct route *r;
	int n = 0;

	if (!read_request(fd, request, sizeof(request)))
		return;
	pthread_mutex_lock(&server.lock);
	r = find_route(request);
	if (!r) {
		server.strangers++;
		n = snprintf(text, sizeof(text), "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	} else {
		memcpy(r->last, request, strlen(request) + 1);
		r->asked++;
		pthread_cond_broadcast(&server.changed);
		while (r->hold)
			pthread_cond_wait(&server.changed, &server.lock);
		n = snprintf(
			text, sizeof(text),
			"HTTP/1.1 %u Status\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
			r->status, strlen(r->body), r->body);
	}
	pthread_mutex_unlock(&server.lock);
	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		return;
	/* The other end closes first, so that nothing is cut off. */
	shutdown(fd, SHUT_WR);
	while (read(fd, text, sizeof(text)) > 0)
		;
}

static void *serve(void *arg)
{
	(void)arg;
	for (;;) {
		struct pollfd p[2] = { { .fd = server.fd, .events = POLLIN },
				       { .fd = server.end[0], .events = POLLIN } };
		int fd;

		ck_assert_int_gt(poll(p, 2, -1), 0);
		if (p[1].revents)
			return NULL;
		fd = accept(server.fd, NULL, NULL);
		if (fd >= 0) {
			answer(fd);
			close(fd);
		}
	}
}

static void setup_server(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	pthread_mutex_init(&server.lock, NULL);
	pthread_cond_init(&server.changed, NULL);
	server.n_routes = server.strangers = 0;
	server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(server.fd, 0);
	ck_assert_int_eq(bind(server.fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(server.fd, 64), 0);
	ck_assert_int_eq(getsockname(server.fd, (struct sockaddr *)&a, &len), 0);
	server.port = ntohs(a.sin_port);
	ck_assert_int_eq(pipe(server.end), 0);
	ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
	setup();
}

static void teardown_server(void)
{
	teardown();
	ck_assert_int_eq(write(server.end[1], "", 1), 1);
	pthread_join(server.thread, NULL);
	close(server.end[0]);
	close(server.end[1]);
	close(server.fd);
}

/* From now on requests that start so are answered so. */
static void put_route(const char *start, unsigned status, const char *body)
{
	struct route *r = NULL;

	pthread_mutex_lock(&server.lock);
	for (unsigned i = 0; i < server.n_routes; i++)
		if (strcmp(server.routes[i].start, start) == 0)
			r = &server.routes[i];
	if (!r) {
		ck_assert_uint_lt(server.n_routes, ROUTES_MAX);
		r = &server.routes[server.n_routes++];
		memset(r, 0, sizeof(*r));
	}
	snprintf(r->start, sizeof(r->start), "%s", start);
	snprintf(r->body, sizeof(r->body), "%s", body);
	r->status = status;
	pthread_mutex_unlock(&server.lock);
}

/* The first route whose name begins so. Under the lock. */
static struct route *named(const char *start)
{
	for (unsigned i = 0; i < server.n_routes; i++)
		if (strncmp(server.routes[i].start, start, strlen(start)) == 0)
			return &server.routes[i];
	ck_abort_msg("no route %s", start);
	return NULL;
}

static void hold_route(const char *start, bool hold)
{
	pthread_mutex_lock(&server.lock);
	named(start)->hold = hold;
	pthread_cond_broadcast(&server.changed);
	pthread_mutex_unlock(&server.lock);
}

static unsigned asked(const char *start)
{
	unsigned n;

	pthread_mutex_lock(&server.lock);
	n = named(start)->asked;
	pthread_mutex_unlock(&server.lock);
	return n;
}

static void wait_asked(const char *start, unsigned n)
{
	pthread_mutex_lock(&server.lock);
	while (named(start)->asked < n)
		pthread_cond_wait(&server.changed, &server.lock);
	pthread_mutex_unlock(&server.lock);
}

/* The value of a header in the last such request, or "". */
static const char *sent_header(const char *start, const char *name, char *out, size_t size)
{
	char line[64], *at;

	snprintf(line, sizeof(line), "\r\n%s: ", name);
	out[0] = '\0';
	pthread_mutex_lock(&server.lock);
	at = strcasestr(named(start)->last, line);
	if (at) {
		at += strlen(line);
		snprintf(out, size, "%.*s", (int)strcspn(at, "\r"), at);
	}
	pthread_mutex_unlock(&server.lock);
	return out;
}

static void sent_body(const char *start, char *out, size_t size)
{
	pthread_mutex_lock(&server.lock);
	snprintf(out, size, "%s", strstr(named(start)->last, "\r\n\r\n") + 4);
	pthread_mutex_unlock(&server.lock);
}

static void put_url(const char *variable, const char *path)
{
	char url[256];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", server.port, path);
	setenv(variable, url, 1);
}

static void time_text(int64_t in_s, char out[32])
{
	time_t t = time(NULL) + in_s;
	struct tm tm;

	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
}

static const char *json_of(const char *key, int64_t ends_in_s)
{
	static char text[512];
	char ends[32];

	time_text(ends_in_s, ends);
	snprintf(text, sizeof(text),
		 "{\"Code\": \"Success\", \"AccessKeyId\": \"%s\", \"SecretAccessKey\": \"" SECRET
		 "\", \"Token\": \"" TOKEN "\", \"Expiration\": \"%s\"}",
		 key, ends);
	return text;
}

/* ---- Containers ------------------------------------------------------------------------------ */

START_TEST(container)
{
	char header[256];
	struct f3_credentials c;
	struct f3_err err;

	put_route("GET /creds?a=b ", 200, json_of("BOXKEY", 3600));
	put_url("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/creds?a=b");
	check_key(NULL, "BOXKEY", "container endpoint");
	ck_assert_str_eq(sent_header("GET /creds", "Authorization", header, sizeof(header)), "");

	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic " TOKEN, 1);
	ck_assert_int_eq(get(NULL, &c, &err), 0);
	ck_assert_str_eq(c.token, TOKEN);
	ck_assert_int_gt(c.expires_s, (int64_t)time(NULL) + 3000);
	ck_assert_str_eq(sent_header("GET /creds", "Authorization", header, sizeof(header)),
			 "Basic " TOKEN);

	/* the file wins, and is looked at like other secrets */
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", put_file("token", 0600, "of file\n"), 1);
	check_key(NULL, "BOXKEY", "container endpoint");
	ck_assert_str_eq(sent_header("GET /creds", "Authorization", header, sizeof(header)),
			 "of file");
	put_file("token", 0644, "of file\n");
	check_error(NULL, -EACCES, "chmod 600");
	put_file("token", 0600, TOKEN "\nX-Evil: 1\n");
	check_error(NULL, -EINVAL, "more than one line");
	unlink(put_file("token", 0600, ""));
	check_error(NULL, -EBADF, "no such file");
	unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");

	put_route("GET /creds?a=b ", 403, "{\"SecretAccessKey\": \"" SECRET "\"}");
	check_error(NULL, -EKEYREJECTED, "status 403");
	put_route("GET /creds?a=b ", 500, "");
	check_error(NULL, -EIO, "status 500");
	put_route("GET /creds?a=b ", 200, "{\"AccessKeyId\": \"X\"");
	check_error(NULL, -EBADMSG, "not a JSON object");
	put_route("GET /creds?a=b ", 200, json_of("BOXKEY", -5));
	check_error(NULL, -EKEYEXPIRED, "ended");
}
END_TEST

START_TEST(containers_elsewhere_are_not_asked)
{
	static const char *const far[] = {
		"http://example.com/x",
		"http://169.254.170.1/x",
		"http://127.0.0.1.example.com/x",
		"http://localhost@evil/x",
		"ftp://localhost/x",
		"http:///x",
		"http://[::2]/x",
		"http://127.0.0.1 /x",
	};

	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", far[i], 1);
		check_error(NULL, -EINVAL, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
	}
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil/x", 1);
	check_error(NULL, -EINVAL, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
}
END_TEST

/* The address of the relative one cannot be had here: it is asked for through a proxy. */
START_TEST(relative_address)
{
	put_route("GET http://169.254.170.2/v2/creds ", 200, json_of("ECSKEY", 3600));
	put_url("http_proxy", "");
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/creds", 1);
	check_key(NULL, "ECSKEY", "container endpoint");
}
END_TEST

/* ---- Instances ------------------------------------------------------------------------------- */

#define META "GET /latest/meta-data/iam/security-credentials/"

static void put_instance(const char *json)
{
	unsetenv("AWS_EC2_METADATA_DISABLED");
	put_url("AWS_EC2_METADATA_SERVICE_ENDPOINT", "/");
	put_route("PUT /latest/api/token ", 200, "meta-t0k3n");
	put_route(META " ", 200, "my role\nother");
	put_route(META "my%20role ", 200, json);
}

START_TEST(instance)
{
	char header[256];

	put_instance(json_of("METAKEY", 3600));
	check_key(NULL, "METAKEY", "instance metadata");
	ck_assert_str_eq(
		sent_header("PUT ", "X-aws-ec2-metadata-token-ttl-seconds", header, sizeof(header)),
		"21600");
	ck_assert_str_eq(sent_header(META " ", "X-aws-ec2-metadata-token", header, sizeof(header)),
			 "meta-t0k3n");
	ck_assert_str_eq(sent_header(META "my", "X-aws-ec2-metadata-token", header, sizeof(header)),
			 "meta-t0k3n");
	ck_assert_uint_eq(server.strangers, 0);

	/* a role that is being attached, none, and answers that are none */
	put_route(META "my%20role ", 200, "{\"Code\": \"AssumeRoleUnauthorizedAccess\"}");
	check_error(NULL, -EBADMSG, "no text AccessKeyId");
	put_route(META "my%20role ", 500, "");
	check_error(NULL, -EIO, "status 500");
	put_route(META " ", 404, "");
	check_error(NULL, -ENOKEY, "no role");
	put_route(META " ", 401, "");
	check_error(NULL, -EKEYREJECTED, "status 401");
	put_route("PUT /latest/api/token ", 200, "t0k3n\r\nX-Evil: 1");
	check_error(NULL, -EBADMSG, "token is none");
	/* without tokens nothing is asked the old way */
	put_route("PUT /latest/api/token ", 403, "");
	check_error(NULL, -ENOKEY, "status 403");
	setenv("AWS_EC2_METADATA_DISABLED", "TRUE", 1);
	check_error(NULL, -ENOKEY, "AWS_EC2_METADATA_DISABLED");
}
END_TEST

START_TEST(no_instance)
{
	put_instance("");
	hold_route("PUT ", true);
	check_error(NULL, -ENOKEY, "no answer from");
	hold_route("PUT ", false);
	/* nobody there: the port was the server's and is of nobody */
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
	check_error(NULL, -ENOKEY, "no answer from");
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "127.0.0.1", 1);
	check_error(NULL, -EINVAL, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
}
END_TEST

/* ---- Roles ----------------------------------------------------------------------------------- */

static const char *xml_of(const char *action, const char *key)
{
	static char text[2048];
	char ends[32];

	time_text(3600, ends);
	snprintf(text, sizeof(text),
		 "<?xml version=\"1.0\"?>\n"
		 "<%sResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><%sResult>"
		 "<AssumedRoleUser><Arn>arn:x</Arn></AssumedRoleUser>"
		 "<Credentials><AccessKeyId>%s</AccessKeyId>"
		 "<SecretAccessKey>" SECRET "</SecretAccessKey>"
		 "<SessionToken>" TOKEN "</SessionToken><Expiration>%s</Expiration></Credentials>"
		 "</%sResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>"
		 "</%sResponse>",
		 action, action, key, ends, action, action);
	return text;
}

START_TEST(web_identity)
{
	char body[4096], header[256];
	struct f3_credentials c;
	struct f3_err err;

	put_url("AWS_ENDPOINT_URL_STS", "");
	put_route("POST / ", 200, xml_of("AssumeRoleWithWebIdentity", "WEBKEY"));
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", put_file("jwt", 0600, "ey+" TOKEN "\n"), 1);
	check_error(NULL, -EINVAL, "AWS_ROLE_ARN");
	setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", 1);
	setenv("AWS_ROLE_SESSION_NAME", "me@here", 1);
	check_key(NULL, "WEBKEY", "role");
	sent_body("POST / ", body, sizeof(body));
	ck_assert_str_eq(body,
			 "Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
			 "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=me%40here"
			 "&WebIdentityToken=ey%2Bt0k3n%3D%3D");
	ck_assert_str_eq(sent_header("POST", "Authorization", header, sizeof(header)), "");
	ck_assert_int_eq(get(NULL, &c, &err), 0);
	ck_assert_str_eq(c.token, TOKEN);
	ck_assert_int_gt(c.expires_s, (int64_t)time(NULL) + 3000);

	put_file("jwt", 0666, "ey");
	check_error(NULL, -EACCES, "chmod 600");
	unlink(put_file("jwt", 0600, ""));
	check_error(NULL, -EBADF, "no such file");

	/* the same from a profile, which does not take the environment's */
	put_file("jwt2", 0600, "second");
	{
		char text[512];

		snprintf(text, sizeof(text),
			 "[profile w]\nrole_arn = arn:2\nweb_identity_token_file = %s/jwt2\n"
			 "role_session_name = s\n",
			 home);
		put_file(".aws/config", 0600, text);
	}
	check_key("w", "WEBKEY", "role");
	sent_body("POST / ", body, sizeof(body));
	ck_assert_str_eq(body, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3A2"
			       "&RoleSessionName=s&WebIdentityToken=second");
}
END_TEST

/* The last request to STS carries the signature that these keys make. */
static void check_signature(const char *access_key, const char *token, const char *region_name)
{
	char body[4096], hash[F3_SIGV4_HEX], got[F3_SIGV4_AUTH_MAX], want[F3_SIGV4_AUTH_MAX];
	char host[128], type[128], date[64];
	struct f3_sigv4_header headers[] = {
		{ "Host", host },
		{ "Content-Type", type },
		{ "X-Amz-Date", date },
		{ "X-Amz-Security-Token", token },
	};
	struct f3_sigv4 s = {
		.method = "POST",
		.path = "/",
		.headers = headers,
		.n_headers = token ? 4 : 3,
		.payload = hash,
		.date = date,
		.region = region_name,
		.service = "sts",
		.access_key = access_key,
		.secret_key = SECRET,
	};

	sent_header("POST", "Host", host, sizeof(host));
	sent_header("POST", "Content-Type", type, sizeof(type));
	sent_header("POST", "X-Amz-Date", date, sizeof(date));
	sent_body("POST", body, sizeof(body));
	ck_assert_int_eq(f3_sigv4_hash(body, strlen(body), hash), 0);
	ck_assert_int_eq(f3_sigv4_authorize(&s, want), 0);
	ck_assert_str_eq(sent_header("POST", "Authorization", got, sizeof(got)), want);
	ck_assert_str_eq(sent_header("POST", "X-Amz-Security-Token", got, sizeof(got)),
			 token ? token : "");
}

START_TEST(roles)
{
	char body[4096];

	put_url("AWS_ENDPOINT_URL_STS", "");
	put_route("POST / ", 200, xml_of("AssumeRole", "ROLEKEY"));
	put_file(".aws/credentials", 0600,
		 "[base]\naws_access_key_id = BASEKEY\naws_secret_access_key = " SECRET "\n"
		 "[self]\naws_access_key_id = SELFKEY\naws_secret_access_key = " SECRET "\n"
		 "role_arn = arn:self\nsource_profile = self\n");
	put_file(".aws/config", 0600,
		 "[profile role]\nrole_arn = arn:r\nsource_profile = base\n"
		 "role_session_name = n\nexternal_id = e e\nduration_seconds = 900\n"
		 "region = eu-west-3\n"
		 "[profile two]\nrole_arn = arn:t\nsource_profile = role\n"
		 "[profile env]\nrole_arn = arn:e\ncredential_source = Environment\n"
		 "[profile box]\nrole_arn = arn:b\ncredential_source = EcsContainer\n"
		 "[profile ec2]\nrole_arn = arn:b\ncredential_source = Ec2InstanceMetadata\n");
	check_key("role", "ROLEKEY", "role");
	sent_body("POST / ", body, sizeof(body));
	ck_assert_str_eq(body, "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Ar"
			       "&RoleSessionName=n&DurationSeconds=900&ExternalId=e%20e");
	check_signature("BASEKEY", NULL, "eu-west-3");

	/* a role by a role: its token is signed too */
	check_key("two", "ROLEKEY", "role");
	sent_body("POST / ", body, sizeof(body));
	ck_assert_ptr_nonnull(strstr(body, "&RoleArn=arn%3At&RoleSessionName=f3-"));
	check_signature("ROLEKEY", TOKEN, "us-east-1");

	check_key("self", "ROLEKEY", "role");
	check_signature("SELFKEY", NULL, "us-east-1");

	check_error("env", -ENOKEY, "credential_source has none");
	setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1);
	setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
	setenv("AWS_REGION", "ap-south-2", 1);
	check_key("env", "ROLEKEY", "role");
	check_signature("ENVKEY", NULL, "ap-south-2");

	put_url("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/creds");
	put_route("GET /creds ", 200, json_of("BOXKEY", 3600));
	check_key("box", "ROLEKEY", "role");
	check_signature("BOXKEY", TOKEN, "ap-south-2");
	put_instance(json_of("METAKEY", 3600));
	check_key("ec2", "ROLEKEY", "role");
	check_signature("METAKEY", TOKEN, "ap-south-2");
}
END_TEST

START_TEST(profiles_that_lead_nowhere)
{
	static const struct {
		const char *text;
		int error;
		const char *expected;
	} bad[] = {
		{ "source_profile = default\n", -ELOOP, "circle" },
		{ "source_profile = a\n[profile a]\nrole_arn = x\nsource_profile = default\n",
		  -ELOOP, "circle" },
		{ "source_profile = a\n[profile a]\nrole_arn = x\nsource_profile = a\n", -ELOOP,
		  "circle" },
		{ "source_profile = a\n[profile a]\nregion = eu-west-3\n", -ENOKEY, "no keys" },
		{ "source_profile = a\n", -ENOKEY, "no keys" },
		{ "", -EINVAL, "wants one of" },
		{ "source_profile = a\ncredential_source = Environment\n", -EINVAL,
		  "wants one of" },
		{ "credential_source = Somewhere\n", -EINVAL, "credential_source is" },
		{ "source_profile = a\nmfa_serial = 1\n", -EINVAL, "mfa_serial" },
	};
	char text[1024];

	put_url("AWS_ENDPOINT_URL_STS", "");
	put_route("POST ", 500, "");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "[default]\nrole_arn = arn:x\n%s", bad[i].text);
		put_file(".aws/config", 0600, text);
		check_error(NULL, bad[i].error, bad[i].expected);
	}
	/* a chain that is too long */
	snprintf(text, sizeof(text), "[default]\nrole_arn = x\nsource_profile = p0\n");
	for (int i = 0; i < 12; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "[profile p%d]\nrole_arn = x\nsource_profile = p%d\n", i, i + 1);
	put_file(".aws/config", 0600, text);
	check_error(NULL, -ELOOP, "too far");
	ck_assert_uint_eq(asked("POST "), 0);
}
END_TEST

START_TEST(what_sts_refuses)
{
	put_url("AWS_ENDPOINT_URL_STS", "");
	put_file(".aws/credentials", 0600,
		 "[default]\naws_access_key_id = BASEKEY\naws_secret_access_key = " SECRET "\n"
		 "role_arn = arn:self\nsource_profile = default\n");
	put_route("POST ", 403,
		  "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
		  "<Message>User: arn:me may not do sts:AssumeRole\nmore</Message></Error>"
		  "</ErrorResponse>");
	check_error(NULL, -EKEYREJECTED,
		    "role arn:self: STS answers with status 403 AccessDenied: User: arn:me may");
	put_route("POST ", 403,
		  "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>The canonical "
		  "request should have been " SECRET "</Message></Error></ErrorResponse>");
	check_error(NULL, -EKEYREJECTED, "SignatureDoesNotMatch");
	put_route("POST ", 400, "no xml");
	check_error(NULL, -EKEYREJECTED, "status 400");
	put_route("POST ", 503, "");
	check_error(NULL, -EIO, "status 503");
	put_route("POST ", 200, "");
	check_error(NULL, -EBADMSG, "cannot be read");
	setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1", 1);
	check_error(NULL, -ECONNREFUSED, "STS: ");
	setenv("AWS_ENDPOINT_URL_STS", "sts", 1);
	check_error(NULL, -EINVAL, "AWS_ENDPOINT_URL_STS");
}
END_TEST

/* ---- Time ------------------------------------------------------------------------------------ */

/* Five minutes before their end they are renewed, without anybody asking. */
START_TEST(renewal)
{
	struct f3_cred_chain *chain;
	struct f3_credentials c;

	put_instance(json_of("FIRST", 302));
	chain = chain_of(NULL);
	ck_assert_int_eq(f3_cred_get(chain, &c, NULL), 0);
	ck_assert_str_eq(c.access_key, "FIRST");
	put_route(META "my%20role ", 200, json_of("SECOND", 3600));
	wait_asked(META "my", 2);
	do {
		nap();
		ck_assert_int_eq(f3_cred_try(chain, &c), 0);
	} while (strcmp(c.access_key, "SECOND") != 0);
	f3_cred_chain_free(chain);
}
END_TEST

/* While that fails those there are serve until their end; then nothing does, until it heals. */
START_TEST(renewal_that_fails)
{
	struct f3_cred_chain *chain;
	struct f3_credentials c;
	struct f3_err err = F3_ERR_INIT;
	int error;

	put_instance(json_of("FIRST", 8));
	chain = chain_of(NULL);
	ck_assert_int_eq(f3_cred_get(chain, &c, NULL), 0);
	put_route(META "my%20role ", 500, "");
	wait_asked(META "my", 2);
	/* Slow machines may be past the end by now. */
	error = f3_cred_try(chain, &c);
	ck_assert(error == 0 || time(NULL) >= c.expires_s);
	while (f3_cred_try(chain, &c) == 0)
		nap();
	ck_assert_int_eq(f3_cred_get(chain, &c, &err), -EKEYEXPIRED);
	ck_assert_ptr_nonnull(strstr(err.text, "have ended"));
	ck_assert_ptr_nonnull(strstr(err.text, "status 500"));
	check_text(&err);

	put_route(META "my%20role ", 200, json_of("SECOND", 3600));
	while (f3_cred_get(chain, &c, NULL) != 0)
		nap();
	ck_assert_str_eq(c.access_key, "SECOND");
	f3_cred_chain_free(chain);
}
END_TEST

START_TEST(the_end_does_not_wait_for_renewal)
{
	struct f3_cred_chain *chain;
	struct f3_credentials c;

	put_instance(json_of("FIRST", 300));
	chain = chain_of(NULL);
	ck_assert_int_eq(f3_cred_get(chain, &c, NULL), 0);
	hold_route(META "my", true);
	wait_asked(META "my", 2);
	f3_cred_chain_free(chain);
	hold_route(META "my", false);
}
END_TEST

static void *get_key(void *arg)
{
	struct f3_credentials c;

	ck_assert_int_eq(f3_cred_get(arg, &c, NULL), 0);
	ck_assert_str_eq(c.access_key, "SHARED");
	return NULL;
}

START_TEST(callers_share_a_look)
{
	struct f3_cred_chain *chain;
	pthread_t threads[8];

	put_instance(json_of("SHARED", 3600));
	hold_route(META "my", true);
	chain = chain_of(NULL);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, get_key, chain), 0);
	wait_asked(META "my", 1);
	hold_route(META "my", false);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(asked(META "my"), 1);
	ck_assert_uint_eq(asked("PUT "), 1);
	f3_cred_chain_free(chain);
}
END_TEST

/* ---- Spoilt input ---------------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Bytes changed, taken out, repeated. text has room for twice its length. */
static size_t spoil(char *text, size_t len)
{
	static const char interesting[] = "<>&!?[]{}\"'\\=:;#\n\r\t \0\xff\x80/";

	for (unsigned n = 1 + next_random() % 4; n-- && len;) {
		size_t at = next_random() % len, span = 1 + next_random() % 40;

		if (span > len - at)
			span = len - at;
		switch (next_random() % 4) {
		case 0:
			text[at] = (char)next_random();
			break;
		case 1:
			text[at] = interesting[next_random() % sizeof(interesting)];
			break;
		case 2:
			memmove(text + at, text + at + span, len - at - span);
			len -= span;
			break;
		default:
			memmove(text + at + span, text + at, len - at);
			len += span;
		}
	}
	return len;
}

static void check_spoilt(int error, const struct f3_credentials *c, const struct f3_err *err)
{
	check_text(err);
	if (error) {
		ck_assert_str_ne(err->text, "");
		return;
	}
	/* What is taken is whole. */
	ck_assert(c->access_key[0] && c->secret_key[0]);
	for (const char *p = c->access_key; *p; p++)
		ck_assert(*p > ' ' && *p < 0x7f);
}

START_TEST(spoilt_answers)
{
	static const struct f3_cred_role role = { .arn = "arn:x" };
	char json[2048], *text = malloc(65536), good[4096];
	unsigned taken = 0;

	ck_assert_ptr_nonnull(text);
	seed = 0x9e3779b97f4a7c15;
	snprintf(good, sizeof(good), "%s", xml_of("AssumeRole", "KEY"));
	snprintf(json, sizeof(json), "%s", json_of("KEY", 3600));
	for (int i = 0; i < 20000; i++) {
		const char *from = i % 2 ? good : json;
		struct f3_credentials c;
		struct f3_err err = F3_ERR_INIT;
		size_t len = strlen(from);
		int error;

		memcpy(text, from, len);
		len = spoil(text, len);
		text[len] = '\0';
		if (i % 2) {
			const struct f3_cred_answer a = { i % 6 ? 200 : 403, text, len };

			error = f3_cred_parse_sts(&role, &a, &c, &err);
		} else {
			error = f3_cred_parse_json(text, len, "Token", "test", &c, &err);
		}
		/* A token ends up in the name of an element, but no message has those. */
		check_spoilt(error, &c, &err);
		taken += !error;
	}
	ck_assert_uint_gt(taken, 0);
	free(text);
}
END_TEST

/* As many levels as are read, below one. */
#define DEEP                                            \
	"<A><A><A><A><A><A><A><A><A><A><A><A><A><A><A>" \
	"</A></A></A></A></A></A></A></A></A></A></A></A></A></A></A>"

START_TEST(hostile_xml)
{
	static const struct f3_cred_role role = { .arn = "arn:x" };
	static const char *const bad[] = {
		"<!DOCTYPE x><A><Credentials><AccessKeyId>K</AccessKeyId></Credentials></A>",
		"<!DOCTYPE x [<!ENTITY a \"" SECRET "\"><!ENTITY b \"&a;&a;\">]><A>&b;</A>",
		"<A><Credentials><AccessKeyId>&unknown;</AccessKeyId></Credentials></A>",
		"<A/><A/>",
		"<A>",
		"",
	};
	struct f3_credentials c;
	struct f3_cred_answer a = { .status = 200 };
	char *text = malloc(65536), ends[32];

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct f3_err err = F3_ERR_INIT;

		snprintf(text, 65536, "%s", bad[i]);
		a.text = text;
		a.len = strlen(text);
		ck_assert_int_eq(f3_cred_parse_sts(&role, &a, &c, &err), -EBADMSG);
		check_text(&err);
	}
	/* good but for one thing; and without it */
	time_text(100, ends);
	for (int i = 0; i < 5; i++) {
		snprintf(text, 65536,
			 "%s<A>%s<Credentials><AccessKeyId>K</AccessKeyId>%s<SecretAccessKey>%s"
			 "</SecretAccessKey><SessionToken>%0*d</SessionToken>"
			 "<Expiration>%s</Expiration></Credentials></A>",
			 i == 1 ? "<!DOCTYPE A>" : "", i == 2 ? "<B>" DEEP "</B>" : DEEP,
			 i == 3 ? "<AccessKeyId>L</AccessKeyId>" : "", SECRET,
			 i == 4 ? F3_CRED_TOKEN_MAX + 1 : F3_CRED_TOKEN_MAX, 0, ends);
		a.text = text;
		a.len = strlen(text);
		ck_assert_int_eq(f3_cred_parse_sts(&role, &a, &c, NULL), i ? -EBADMSG : 0);
	}
	free(text);
}
END_TEST

START_TEST(spoilt_files)
{
	static const char good[] = "[default]\n"
				   "aws_access_key_id = KEY\n"
				   "aws_secret_access_key = " SECRET "\n"
				   "aws_session_token = " TOKEN "\n"
				   "s3 =\n"
				   "  nested = yes\n"
				   "[other]\n"
				   "region = eu-west-3\n";
	char path[128], text[2 * sizeof(good) + 256];
	unsigned taken = 0;

	seed = 0x2545f4914f6cdd1d;
	snprintf(path, sizeof(path), "%s", put_file(".aws/credentials", 0600, ""));
	for (int i = 0; i < 2000; i++) {
		struct f3_cred_look l = { .profile = "default" };
		struct f3_credentials c;
		struct f3_err err = F3_ERR_INIT;
		size_t len = sizeof(good) - 1;
		FILE *f = fopen(path, "we");
		int error;

		ck_assert_ptr_nonnull(f);
		memcpy(text, good, len);
		len = spoil(text, len);
		ck_assert_uint_eq(fwrite(text, 1, len, f), len);
		ck_assert_int_eq(fclose(f), 0);
		error = f3_cred_from_files(&l, &c, &err);
		if (error != -ENOENT)
			check_spoilt(error, &c, &err);
		taken += !error;
	}
	ck_assert_uint_gt(taken, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("credentials over the network");
	TCase *tc = tcase_create("sources");

	tcase_add_checked_fixture(tc, setup_server, teardown_server);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, container);
	tcase_add_test(tc, containers_elsewhere_are_not_asked);
	tcase_add_test(tc, relative_address);
	tcase_add_test(tc, instance);
	tcase_add_test(tc, no_instance);
	tcase_add_test(tc, web_identity);
	tcase_add_test(tc, roles);
	tcase_add_test(tc, profiles_that_lead_nowhere);
	tcase_add_test(tc, what_sts_refuses);
	tcase_add_test(tc, renewal);
	tcase_add_test(tc, renewal_that_fails);
	tcase_add_test(tc, the_end_does_not_wait_for_renewal);
	tcase_add_test(tc, callers_share_a_look);
	tcase_add_test(tc, spoilt_answers);
	tcase_add_test(tc, hostile_xml);
	tcase_add_test(tc, spoilt_files);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
