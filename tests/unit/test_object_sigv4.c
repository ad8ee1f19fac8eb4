/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expected canonical requests and signatures are facts that AWS publishes: the "Signature Version 4
 * test suite" and, for S3, the examples of "Authenticating Requests: Using the Authorization
 * Header" in the Amazon S3 API Reference. The keys are those of its documentation.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>

#include "fs/object/sigv4.h"
#include "tests/unit/unit.h"

#define SUITE_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define S3_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define FORM_HASH "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"

struct vector {
	const char *name, *method, *path; /* path NULL: "/" */
	struct f3_sigv4_query query[4];
	struct f3_sigv4_header headers[6]; /* besides host and x-amz-date */
	const char *payload; /* NULL: of an empty body */
	const char *canonical; /* from the path to the names of what is signed */
	const char *signature;
};

/* ---- The test suite -------------------------------------------------------------------------- */

static const struct vector suite_vectors[] = {
	{
		.name = "get-header-key-duplicate",
		.method = "GET",
		.headers = { { "My-Header1", "value2" },
			     { "My-Header1", "value2" },
			     { "My-Header1", "value1" } },
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "my-header1:value2,value2,value1\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;my-header1;x-amz-date",
		.signature = "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
	},
	{
		.name = "get-header-value-multiline",
		.method = "GET",
		.headers = { { "My-Header1", "value1\n  value2\n     value3" } },
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "my-header1:value1 value2 value3\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;my-header1;x-amz-date",
		.signature = "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd",
	},
	{
		.name = "get-header-value-order",
		.method = "GET",
		.headers = { { "My-Header1", "value4" },
			     { "My-Header1", "value1" },
			     { "My-Header1", "value3" },
			     { "My-Header1", "value2" } },
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "my-header1:value4,value1,value3,value2\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;my-header1;x-amz-date",
		.signature = "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
	},
	{
		.name = "get-header-value-trim",
		.method = "GET",
		.headers = { { "My-Header1", " value1" }, { "My-Header2", " \"a   b   c\"" } },
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "my-header1:value1\n"
			     "my-header2:\"a b c\"\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;my-header1;my-header2;x-amz-date",
		.signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
	},
	{
		.name = "get-relative-normalized",
		.method = "GET",
		.path = "/example/..",
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	},
	{
		.name = "get-relative-relative-normalized",
		.method = "GET",
		.path = "/example1/example2/../..",
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	},
	{
		.name = "get-slash-dot-slash-normalized",
		.method = "GET",
		.path = "/./",
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	},
	{
		.name = "get-slash-normalized",
		.method = "GET",
		.path = "//",
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	},
	{
		.name = "get-slash-pointless-dot-normalized",
		.method = "GET",
		.path = "/./example",
		.canonical = "/example\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
	},
	{
		.name = "get-slashes-normalized",
		.method = "GET",
		.path = "//example//",
		.canonical = "/example/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
	},
	{
		.name = "get-space-normalized",
		.method = "GET",
		.path = "/example space/",
		.canonical = "/example%20space/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
	},
	{
		.name = "get-unreserved",
		.method = "GET",
		.path = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
		.canonical = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
	},
	{
		.name = "get-utf8",
		.method = "GET",
		.path = "/\341\210\264",
		.canonical = "/%E1%88%B4\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
	},
	{
		.name = "get-vanilla-empty-query-key",
		.method = "GET",
		.query = { { "Param1", "value1" } },
		.canonical = "/\n"
			     "Param1=value1\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
	},
	{
		.name = "get-vanilla-query-order-encoded",
		.method = "GET",
		.query = { { "Param-3", "Value3" },
			   { "Param", "Value2" },
			   { "\341\210\264", "Value1" } },
		.canonical = "/\n"
			     "%E1%88%B4=Value1&Param=Value2&Param-3=Value3\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
	},
	{
		.name = "get-vanilla-query-order-key-case",
		.method = "GET",
		.query = { { "Param2", "value2" }, { "Param1", "value1" } },
		.canonical = "/\n"
			     "Param1=value1&Param2=value2\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
	},
	{
		.name = "get-vanilla-query-unreserved",
		.method = "GET",
		.query = { { "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
			     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" } },
		.canonical =
			"/\n"
			"-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\n"
			"host:example.amazonaws.com\n"
			"x-amz-date:20150830T123600Z\n"
			"\n"
			"host;x-amz-date",
		.signature = "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
	},
	{
		.name = "get-vanilla-query",
		.method = "GET",
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	},
	{
		.name = "get-vanilla-utf8-query",
		.method = "GET",
		.query = { { "\341\210\264", "bar" } },
		.canonical = "/\n"
			     "%E1%88%B4=bar\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
	},
	{
		.name = "get-vanilla-with-session-token",
		.method = "GET",
		.headers = { { "X-Amz-Security-Token",
			       "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267" } },
		.canonical =
			"/\n"
			"\n"
			"host:example.amazonaws.com\n"
			"x-amz-date:20150830T123600Z\n"
			"x-amz-security-token:6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267\n"
			"\n"
			"host;x-amz-date;x-amz-security-token",
		.signature = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
	},
	{
		.name = "get-vanilla",
		.method = "GET",
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	},
	{
		.name = "post-header-key-case",
		.method = "POST",
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
	},
	{
		.name = "post-header-key-sort",
		.method = "POST",
		.headers = { { "My-Header1", "value1" } },
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "my-header1:value1\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;my-header1;x-amz-date",
		.signature = "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
	},
	{
		.name = "post-header-value-case",
		.method = "POST",
		.headers = { { "My-Header1", "VALUE1" } },
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "my-header1:VALUE1\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;my-header1;x-amz-date",
		.signature = "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
	},
	{
		.name = "post-sts-header-after",
		.method = "POST",
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
	},
	{
		.name = "post-sts-header-before",
		.method = "POST",
		.headers = { { "X-Amz-Security-Token",
			       "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==" } },
		.canonical =
			"/\n"
			"\n"
			"host:example.amazonaws.com\n"
			"x-amz-date:20150830T123600Z\n"
			"x-amz-security-token:AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==\n"
			"\n"
			"host;x-amz-date;x-amz-security-token",
		.signature = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
	},
	{
		.name = "post-vanilla-empty-query-value",
		.method = "POST",
		.query = { { "Param1", "value1" } },
		.canonical = "/\n"
			     "Param1=value1\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
	},
	{
		.name = "post-vanilla-query",
		.method = "POST",
		.query = { { "Param1", "value1" } },
		.canonical = "/\n"
			     "Param1=value1\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
	},
	{
		.name = "post-vanilla",
		.method = "POST",
		.canonical = "/\n"
			     "\n"
			     "host:example.amazonaws.com\n"
			     "x-amz-date:20150830T123600Z\n"
			     "\n"
			     "host;x-amz-date",
		.signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
	},
	{
		.name = "post-x-www-form-urlencoded-parameters",
		.method = "POST",
		.headers = { { "Content-Type", "application/x-www-form-urlencoded; charset=utf-8" },
			     { "Content-Length", "13" },
			     { "x-amz-content-sha256",
			       "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e" } },
		.payload = FORM_HASH,
		.canonical =
			"/\n"
			"\n"
			"content-length:13\n"
			"content-type:application/x-www-form-urlencoded; charset=utf-8\n"
			"host:example.amazonaws.com\n"
			"x-amz-content-sha256:9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e\n"
			"x-amz-date:20150830T123600Z\n"
			"\n"
			"content-length;content-type;host;x-amz-content-sha256;x-amz-date",
		.signature = "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
	},
	{
		.name = "post-x-www-form-urlencoded",
		.method = "POST",
		.headers = { { "Content-Type", "application/x-www-form-urlencoded" },
			     { "Content-Length", "13" },
			     { "x-amz-content-sha256",
			       "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e" } },
		.payload = FORM_HASH,
		.canonical =
			"/\n"
			"\n"
			"content-length:13\n"
			"content-type:application/x-www-form-urlencoded\n"
			"host:example.amazonaws.com\n"
			"x-amz-content-sha256:9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e\n"
			"x-amz-date:20150830T123600Z\n"
			"\n"
			"content-length;content-type;host;x-amz-content-sha256;x-amz-date",
		.signature = "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
	},
};

static const struct vector s3_vectors[] = {
	{ .name = "GET object",
	  .method = "GET",
	  .path = "/test.txt",
	  .headers = { { "Range", "bytes=0-9" }, { "x-amz-content-sha256", F3_SIGV4_EMPTY } },
	  .canonical = "/test.txt\n"
		       "\n"
		       "host:examplebucket.s3.amazonaws.com\n"
		       "range:bytes=0-9\n"
		       "x-amz-content-sha256:" F3_SIGV4_EMPTY "\n"
		       "x-amz-date:20130524T000000Z\n"
		       "\n"
		       "host;range;x-amz-content-sha256;x-amz-date",
	  .signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
	{ .name = "PUT object",
	  .method = "PUT",
	  .path = "/test$file.text",
	  .headers = { { "Date", "Fri, 24 May 2013 00:00:00 GMT" },
		       { "x-amz-content-sha256",
			 "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072" },
		       { "x-amz-storage-class", "REDUCED_REDUNDANCY" } },
	  .payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
	  .canonical = "/test%24file.text\n"
		       "\n"
		       "date:Fri, 24 May 2013 00:00:00 GMT\n"
		       "host:examplebucket.s3.amazonaws.com\n"
		       "x-amz-content-sha256:"
		       "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\n"
		       "x-amz-date:20130524T000000Z\n"
		       "x-amz-storage-class:REDUCED_REDUNDANCY\n"
		       "\n"
		       "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	  .signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
	{ .name = "GET bucket lifecycle",
	  .method = "GET",
	  .query = { { "lifecycle", NULL } },
	  .headers = { { "x-amz-content-sha256", F3_SIGV4_EMPTY } },
	  .canonical = "/\n"
		       "lifecycle=\n"
		       "host:examplebucket.s3.amazonaws.com\n"
		       "x-amz-content-sha256:" F3_SIGV4_EMPTY "\n"
		       "x-amz-date:20130524T000000Z\n"
		       "\n"
		       "host;x-amz-content-sha256;x-amz-date",
	  .signature = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
	{ .name = "GET bucket (list objects)",
	  .method = "GET",
	  .query = { { "prefix", "J" }, { "max-keys", "2" } },
	  .headers = { { "x-amz-content-sha256", F3_SIGV4_EMPTY } },
	  .canonical = "/\n"
		       "max-keys=2&prefix=J\n"
		       "host:examplebucket.s3.amazonaws.com\n"
		       "x-amz-content-sha256:" F3_SIGV4_EMPTY "\n"
		       "x-amz-date:20130524T000000Z\n"
		       "\n"
		       "host;x-amz-content-sha256;x-amz-date",
	  .signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};

static struct f3_sigv4 of_vector(const struct vector *v, bool s3, struct f3_sigv4_header headers[8])
{
	struct f3_sigv4 s = {
		.method = v->method,
		.path = v->path ? v->path : "/",
		.query = v->query,
		.headers = headers,
		.payload = v->payload ? v->payload : F3_SIGV4_EMPTY,
		.date = s3 ? "20130524T000000Z" : "20150830T123600Z",
		.region = "us-east-1",
		.service = s3 ? "s3" : "service",
		.access_key = s3 ? "AKIAIOSFODNN7EXAMPLE" : "AKIDEXAMPLE",
		.secret_key = s3 ? S3_SECRET : SUITE_SECRET,
	};

	while (s.n_query < 4 && v->query[s.n_query].name)
		s.n_query++;
	while (s.n_headers < 6 && v->headers[s.n_headers].name) {
		headers[s.n_headers] = v->headers[s.n_headers];
		s.n_headers++;
	}
	/* Their place must not matter. */
	headers[s.n_headers++] = (struct f3_sigv4_header){ "X-Amz-Date", s.date };
	headers[s.n_headers++] =
		(struct f3_sigv4_header){ "Host", s3 ? "examplebucket.s3.amazonaws.com" :
						       "example.amazonaws.com" };
	return s;
}

static void check_vector(const struct vector *v, bool s3)
{
	struct f3_sigv4_header headers[8];
	struct f3_sigv4 s = of_vector(v, s3, headers);
	char expected[4096], text[4096], auth[F3_SIGV4_AUTH_MAX], hash[F3_SIGV4_HEX];

	snprintf(expected, sizeof(expected), "%s\n%s\n%s", v->method, v->canonical, s.payload);
	ck_assert_msg(f3_sigv4_canonical(&s, text, sizeof(text)) == 0, "%s", v->name);
	ck_assert_msg(strcmp(text, expected) == 0, "%s:\n%s\nnot\n%s", v->name, text, expected);

	ck_assert_int_eq(f3_sigv4_hash(expected, strlen(expected), hash), 0);
	snprintf(expected, sizeof(expected),
		 "AWS4-HMAC-SHA256\n%s\n%.8s/us-east-1/%s/aws4_request\n%s", s.date, s.date,
		 s.service, hash);
	ck_assert_int_eq(f3_sigv4_to_sign(&s, text, sizeof(text)), 0);
	ck_assert_str_eq(text, expected);

	snprintf(expected, sizeof(expected),
		 "AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/%s/aws4_request, "
		 "SignedHeaders=%s, Signature=%s",
		 s.access_key, s.date, s.service, strrchr(v->canonical, '\n') + 1, v->signature);
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), 0);
	ck_assert_msg(strcmp(auth, expected) == 0, "%s:\n%s\nnot\n%s", v->name, auth, expected);
}

START_TEST(the_test_suite)
{
	check_vector(&suite_vectors[_i], false);
}
END_TEST

START_TEST(the_examples_of_s3)
{
	check_vector(&s3_vectors[_i], true);
}
END_TEST

/* ---- What is ours ---------------------------------------------------------------------------- */

static struct f3_sigv4 plain(const struct f3_sigv4_header *host)
{
	return (struct f3_sigv4){
		.method = "GET",
		.path = "/",
		.headers = host,
		.n_headers = 1,
		.payload = F3_SIGV4_UNSIGNED,
		.date = "20150830T123600Z",
		.region = "us-east-1",
		.service = "s3",
		.access_key = "AKIDEXAMPLE",
		.secret_key = SUITE_SECRET,
	};
}

static const struct f3_sigv4_header host = { "host", "h" };

START_TEST(keys_of_s3_are_encoded_once_and_stay_as_they_are)
{
	static const struct {
		const char *key, *encoded;
	} keys[] = {
		{ "/b/a b", "/b/a%20b" },
		{ "/b/a+b", "/b/a%2Bb" },
		{ "/b/a%20b", "/b/a%2520b" },
		{ "/b//c", "/b//c" },
		{ "/b/../c/.", "/b/../c/." },
		{ "/b/\xc3\xbc\xf0\x9f\x98\x80", "/b/%C3%BC%F0%9F%98%80" },
		{ "/b/\xff\x01\x7f", "/b/%FF%01%7F" },
		{ "/b/*'()!~=&?#", "/b/%2A%27%28%29%21~%3D%26%3F%23" },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct f3_sigv4 s = plain(&host);
		char text[512], expected[512];

		s.path = keys[i].key;
		ck_assert_int_eq(f3_sigv4_canonical(&s, text, sizeof(text)), 0);
		snprintf(expected, sizeof(expected), "GET\n%s\n\nhost:h\n\nhost\nUNSIGNED-PAYLOAD",
			 keys[i].encoded);
		ck_assert_str_eq(text, expected);
		ck_assert_int_eq(
			f3_sigv4_encode(keys[i].key, strlen(keys[i].key), true, text, sizeof(text)),
			(int)strlen(keys[i].encoded));
		ck_assert_str_eq(text, keys[i].encoded);
	}
}
END_TEST

START_TEST(queries_are_sorted_as_encoded)
{
	static const struct f3_sigv4_query query[] = {
		{ "b", "" },     { "a-", "1" }, { "a", "2" },  { "a", "~" }, { "a", "\xe1" },
		{ "\xe1", "3" }, { "a/", "4" }, { "A", NULL }, { "a", "1" },
	};
	struct f3_sigv4 s = plain(&host);
	char text[512];

	s.query = query;
	s.n_query = sizeof(query) / sizeof(query[0]);
	ck_assert_int_eq(f3_sigv4_canonical(&s, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "GET\n/\n%E1=3&A=&a=%E1&a=1&a=2&a=~&a%2F=4&a-=1&b=\nhost:h\n\nhost\n"
			       "UNSIGNED-PAYLOAD");
}
END_TEST

/* A long key goes through the digest in many pieces. */
START_TEST(long_requests_hash_as_their_text)
{
	for (size_t len = 1; len < 1200; len += 7) {
		struct f3_sigv4 s = plain(&host);
		char path[1280] = "/", text[4096], to_sign[512], hash[F3_SIGV4_HEX];

		memset(path + 1, len % 3 ? 'a' : ' ', len);
		s.path = path;
		ck_assert_int_eq(f3_sigv4_canonical(&s, text, sizeof(text)), 0);
		ck_assert_int_eq(f3_sigv4_hash(text, strlen(text), hash), 0);
		ck_assert_int_eq(f3_sigv4_to_sign(&s, to_sign, sizeof(to_sign)), 0);
		ck_assert_str_eq(strrchr(to_sign, '\n') + 1, hash);
	}
}
END_TEST

START_TEST(what_cannot_be_signed)
{
	static const char *const dates[] = { "",
					     "20150830",
					     "20150830T123600",
					     "20150830T1236000",
					     "2015083xT123600Z",
					     "20150830T123600ZZ" };
	static const char *const parts[] = { "", "a b", "a\n", "a,b" };
	char text[512], auth[F3_SIGV4_AUTH_MAX] = "untouched";
	struct f3_sigv4_header bad = host;
	struct f3_sigv4 s;

	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
		s = plain(&host);
		s.date = dates[i];
		ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -EINVAL);
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		s = plain(&host);
		s.region = parts[i];
		ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -EINVAL);
		s = plain(&host);
		s.service = parts[i];
		ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -EINVAL);
		s = plain(&host);
		s.access_key = parts[i];
		ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -EINVAL);
	}
	s = plain(&host);
	s.secret_key = "";
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -EINVAL);
	s = plain(&host);
	s.path = "key";
	ck_assert_int_eq(f3_sigv4_canonical(&s, text, sizeof(text)), -EINVAL);

	/* no host, or headers that are none */
	s = plain(&bad);
	bad.name = "hosts";
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -EINVAL);
	s.n_headers = 0;
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -EINVAL);
	s.n_headers = 1;
	bad.name = "ho st";
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -EINVAL);
	bad = (struct f3_sigv4_header){ "HOST", "a\001b" };
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -EINVAL);
	bad.value = "a";
	ck_assert_str_eq(auth, "untouched");
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), 0);
}
END_TEST

START_TEST(what_is_too_long)
{
	struct f3_sigv4_header many[F3_SIGV4_HEADERS_MAX + 1];
	struct f3_sigv4_query queries[F3_SIGV4_HEADERS_MAX + 1];
	char long_name[F3_SIGV4_AUTH_MAX], text[8192], auth[F3_SIGV4_AUTH_MAX] = "untouched";
	struct f3_sigv4 s = plain(&host);
	size_t len;

	/* every size but one that holds it with its NUL */
	ck_assert_int_eq(f3_sigv4_canonical(&s, text, sizeof(text)), 0);
	len = strlen(text);
	for (size_t size = 0; size <= len; size++) {
		char *small = malloc(size ? size : 1);

		ck_assert_int_eq(f3_sigv4_canonical(&s, small, size), -E2BIG);
		free(small);
	}
	ck_assert_int_eq(f3_sigv4_canonical(&s, text, len + 1), 0);
	ck_assert_int_eq(f3_sigv4_to_sign(&s, text, 100), -E2BIG);
	ck_assert_int_eq(f3_sigv4_encode("a b", 3, false, text, 5), -E2BIG);
	ck_assert_int_eq(f3_sigv4_encode("a b", 3, false, text, 0), -E2BIG);
	ck_assert_int_eq(f3_sigv4_encode("a b", 3, false, text, 6), 5);
	ck_assert_int_eq(f3_sigv4_encode("a/b", 3, false, text, 6), 5);
	ck_assert_str_eq(text, "a%2Fb");

	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++) {
		many[i] = host;
		queries[i] = (struct f3_sigv4_query){ "q", "v" };
	}
	s.headers = many;
	s.n_headers = F3_SIGV4_HEADERS_MAX + 1;
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -E2BIG);
	s.n_headers = 1;
	s.query = queries;
	s.n_query = F3_SIGV4_HEADERS_MAX + 1;
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -E2BIG);
	s.n_query = F3_SIGV4_HEADERS_MAX;
	s.n_headers = 2;
	memset(long_name, 'x', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	many[1].name = long_name;
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -E2BIG);
	ck_assert_str_eq(auth, "untouched");
	long_name[sizeof(long_name) - 300] = '\0';
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), 0);

	/* parts of the credential */
	s = plain(&host);
	s.region = long_name;
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -E2BIG);
	s = plain(&host);
	s.secret_key = long_name;
	ck_assert_int_eq(f3_sigv4_authorize(&s, auth), -E2BIG);
}
END_TEST

START_TEST(dates_and_hashes)
{
	char date[F3_SIGV4_DATE], hash[F3_SIGV4_HEX];

	f3_sigv4_date(1440938160, date);
	ck_assert_str_eq(date, "20150830T123600Z");
	f3_sigv4_date(0, date);
	ck_assert_str_eq(date, "19700101T000000Z");
	f3_sigv4_date(-1, date);
	ck_assert_str_eq(date, "19700101T000000Z");
	f3_sigv4_date(INT64_MAX, date);
	ck_assert_str_eq(date, "99991231T235959Z");

	ck_assert_int_eq(f3_sigv4_hash("", 0, hash), 0);
	ck_assert_str_eq(hash, F3_SIGV4_EMPTY);
	ck_assert_int_eq(f3_sigv4_hash("Param1=value1", 13, hash), 0);
	ck_assert_str_eq(hash, FORM_HASH);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sigv4");
	TCase *tc = tcase_create("published");

	tcase_add_loop_test(tc, the_test_suite, 0,
			    sizeof(suite_vectors) / sizeof(suite_vectors[0]));
	tcase_add_loop_test(tc, the_examples_of_s3, 0, sizeof(s3_vectors) / sizeof(s3_vectors[0]));
	suite_add_tcase(s, tc);
	tc = tcase_create("ours");
	tcase_add_test(tc, keys_of_s3_are_encoded_once_and_stay_as_they_are);
	tcase_add_test(tc, queries_are_sorted_as_encoded);
	tcase_add_test(tc, long_requests_hash_as_their_text);
	tcase_add_test(tc, what_cannot_be_signed);
	tcase_add_test(tc, what_is_too_long);
	tcase_add_test(tc, dates_and_hashes);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
