/* What is asked of Redis, and what its answers mean. Pure. */
#include "data/edge/together_priv.h"

/*
 * math/gcra.h, for all limits of a request at once: none is charged unless all admit it. The time
 * is that of Redis, in quarters of a microsecond since 2026, so that doubles hold it exactly. A
 * value is the theoretical arrival time; it is gone when it is over. One that is further ahead than
 * its rule can bring it counts as the furthest that it can.
 */
const char together_script[] =
        "local t = redis.call('TIME')\n"
        "local now = (t[1] - 1767225600) * 4000000 + t[2] * 4\n"
        "local tat, out = {}, {1}\n"
        "for i = 1, #KEYS do\n"
        "  local interval, tolerance = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])\n"
        "  local v = tonumber(redis.call('GET', KEYS[i]) or '') or now\n"
        "  tat[i] = math.min(math.max(v, now), now + tolerance + interval)\n"
        "  if tat[i] - now > tolerance then out[1] = 0 end\n"
        "end\n"
        "for i = 1, #KEYS do\n"
        "  local interval, tolerance = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])\n"
        "  local room = tolerance - (tat[i] - now)\n"
        "  if room < 0 then\n"
        "    out[2 * i], out[2 * i + 1] = -1, -room\n"
        "  else\n"
        "    local part = room % interval\n"
        "    out[2 * i], out[2 * i + 1] = (room - part) / interval, interval - part\n"
        "  end\n"
        "  if out[1] == 1 then\n"
        "    local v = tat[i] + interval\n"
        "    redis.call('SET', KEYS[i], string.format('%.0f', v), 'PX',\n"
        "      string.format('%.0f', math.ceil((v - now) / 4000)))\n"
        "  end\n"
        "end\n"
        "return out\n";

struct together_rule together_rule_of(struct gcra_rule rule)
{
	uint64_t interval =
	        rule.interval_ns / TOGETHER_TICK_NS + (rule.interval_ns % TOGETHER_TICK_NS != 0);
	return (struct together_rule){interval, rule.tolerance_ns / rule.interval_ns * interval};
}

static bool number(struct hg_str *rest, int64_t *ret)
{
	struct resp_value v;
	if (!resp_next(rest, &v) || v.type != RESP_INT) return false;
	*ret = v.n;
	return true;
}

bool together_read(struct resp_value v, struct hg_str rest, const struct together_rule *rule,
        uint32_t n, struct together_said *ret_said)
{
	int64_t admit = 0;
	bool refused = false;
	*ret_said = (struct together_said){0};
	if (v.type != RESP_ARRAY || v.n != 1 + 2 * (int64_t)n || !number(&rest, &admit))
		return false;
	if (admit != 0 && admit != 1) return false;
	ret_said->admit = admit == 1;
	for (uint32_t i = 0; i < n; i++) {
		int64_t left, wait;
		int64_t most = (int64_t)(rule[i].tolerance / rule[i].interval);
		if (!number(&rest, &left) || !number(&rest, &wait)) return false;
		if (left < -1 || left > most || wait < 0 || (uint64_t)wait > rule[i].interval)
			return false;
		uint64_t ahead = rule[i].tolerance + (uint64_t)wait;
		if (left >= 0) /* as it was before this request */
			ahead -= ((uint64_t)left + 1) * rule[i].interval;
		if (left >= 0 && admit) ahead += rule[i].interval;
		ret_said->limit[i].refused = left < 0;
		ret_said->limit[i].left = left < 0 ? 0 : (uint64_t)left;
		ret_said->limit[i].wait_ns = (uint64_t)wait * TOGETHER_TICK_NS;
		ret_said->limit[i].ahead_ns = ahead * TOGETHER_TICK_NS;
		refused = refused || left < 0;
	}
	return refused != ret_said->admit;
}
