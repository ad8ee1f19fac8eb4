/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/net/limit.h"

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

void f3_limit_init(struct f3_limit *l, unsigned max)
{
	l->max = max ? max : 1;
	l->min = least(F3_LIMIT_MIN, l->max);
	l->value = least(F3_LIMIT_START, l->max);
	l->slow_above = l->max;
	l->good = 0;
	l->cut_ns = 0;
}

void f3_limit_good(struct f3_limit *l, bool in_use)
{
	if (!in_use || l->value >= l->max)
		return;
	if (l->value >= l->slow_above && ++l->good < l->value)
		return;
	l->good = 0;
	l->value++;
}

void f3_limit_bad(struct f3_limit *l, uint64_t start_ns, uint64_t now_ns)
{
	if (start_ns <= l->cut_ns)
		return;
	l->value = l->value / 2 > l->min ? l->value / 2 : l->min;
	l->slow_above = l->value;
	l->good = 0;
	l->cut_ns = now_ns;
}
