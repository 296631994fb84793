#include "apps/feedback/message_priv.h"

#include <jansson.h>

#include "apps/feedback/text_priv.h"

/* As Python sees it, whose truth values the first app's answers came from. */
static bool is_empty(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT: return json_object_size(v) == 0;
	case JSON_ARRAY: return json_array_size(v) == 0;
	case JSON_STRING: return json_string_length(v) == 0;
	case JSON_INTEGER: return json_integer_value(v) == 0;
	case JSON_REAL: return json_real_value(v) == 0;
	case JSON_TRUE: return false;
	case JSON_FALSE:
	case JSON_NULL: return true;
	}
	return false;
}

static const char no_message[] = "Message field is required and cannot be empty";

static const char *take(struct hg_str text, struct message *m)
{
	struct hg_str s = text_trim(text);
	if (s.n == 0) return no_message;
	if (hg_utf8_count(s) > MESSAGE_POINTS_MAX) return "Message cannot exceed 500 characters";
	if (memchr(s.p, 0, s.n)) return "Message cannot contain the character U+0000";
	memcpy(m->bytes, s.p, s.n);
	m->n = s.n;
	return NULL;
}

static const char *check(const json_t *root, struct message *m)
{
	const json_t *v;
	if (is_empty(root)) return "Request body is required";
	if (!json_is_object(root)) return "Request body must be a JSON object";
	v = json_object_get(root, "message");
	if (!v || json_is_null(v)) return no_message;
	if (!json_is_string(v)) return "Message must be a string";
	return take((struct hg_str){json_string_value(v), json_string_length(v)}, m);
}

/* Takes the bytes, if they are next but for white space. */
static bool take_next(struct hg_str *rest, struct hg_str bytes)
{
	size_t n = 0;
	while (n < rest->n && (rest->p[n] == ' ' || (rest->p[n] >= '\t' && rest->p[n] <= '\r')))
		n++;
	/* JSON has two fewer. */
	if (n && (memchr(rest->p, '\v', n) || memchr(rest->p, '\f', n))) return false;
	*rest = (struct hg_str){rest->p + n, rest->n - n};
	if (!hg_str_starts(*rest, bytes)) return false;
	*rest = (struct hg_str){rest->p + bytes.n, rest->n - bytes.n};
	return true;
}

/*
 * {"message": "…"} without a backslash, which is what nearly all of them are: there the text stands
 * as it is meant. Everything else, and all that is wrong, is the library's, which reads byte by
 * byte into memory of its own and took a fifth of a create.
 */
static bool plain(struct hg_str body, struct hg_str *ret_text)
{
	struct hg_str rest = body;
	size_t n = 0;
	if (!take_next(&rest, HG_STR("{")) || !take_next(&rest, HG_STR("\"message\"")) ||
	        !take_next(&rest, HG_STR(":")) || !take_next(&rest, HG_STR("\"")))
		return false;
	while (n < rest.n && rest.p[n] != '"' && rest.p[n] != '\\' &&
	        (unsigned char)rest.p[n] >= 0x20)
		n++;
	if (n == rest.n || rest.p[n] != '"') return false;
	*ret_text = (struct hg_str){rest.p, n};
	rest = (struct hg_str){rest.p + n + 1, rest.n - n - 1};
	return take_next(&rest, HG_STR("}")) && take_next(&rest, HG_STR("")) && rest.n == 0 &&
	       hg_utf8_valid(*ret_text);
}

static const char *parse(struct hg_str body, struct message *ret_message)
{
	const char *wrong;
	json_error_t where;
	json_t *root;
	if (hg_str_trim(body).n == 0) return "Request body is required";
	root = json_loadb(body.p, body.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
	if (!root) return "Request body is not valid JSON";
	wrong = check(root, ret_message);
	json_decref(root);
	return wrong;
}

const char *message_parse(struct hg_str body, struct message *ret_message)
{
	struct hg_str text;
	return plain(body, &text) ? take(text, ret_message) : parse(body, ret_message);
}

bool message_type_ok(struct hg_str content_type)
{
	struct hg_str rest = content_type;
	struct hg_str type = hg_str_trim(hg_str_cut(&rest, ';'));
	struct hg_str json = HG_STR("+json");
	bool plus = type.n > json.n + strlen("application/") &&
	            hg_str_eq_nocase((struct hg_str){type.p + type.n - json.n, json.n}, json) &&
	            hg_str_eq_nocase((struct hg_str){type.p, 12}, HG_STR("application/"));
	if (!plus && !hg_str_eq_nocase(type, HG_STR("application/json"))) return false;
	while (rest.n) {
		struct hg_str value = hg_str_trim(hg_str_cut(&rest, ';'));
		struct hg_str name = hg_str_trim(hg_str_cut(&value, '='));
		if (!hg_str_eq_nocase(name, HG_STR("charset"))) continue;
		value = hg_str_trim(value);
		if (value.n >= 2 && value.p[0] == '"')
			value = (struct hg_str){value.p + 1, value.n - 2};
		if (!hg_str_eq_nocase(value, HG_STR("utf-8")) &&
		        !hg_str_eq_nocase(value, HG_STR("utf8")))
			return false;
	}
	return true;
}
