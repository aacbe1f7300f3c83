/* Is a report's HTML ours alone? Whatever a page or a profile has in its texts, there are only the
 * elements and attributes that the command writes, all are closed, and there are two scripts. */
#ifndef HAKMEM_TESTS_HTML_CHECK_H
#define HAKMEM_TESTS_HTML_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct html_check {
	const char *at;
	unsigned depth, scripts, styles;
	char open[32][16]; /* the elements that are */
	char fault[120];   /* "": none */
};

static inline bool html_is_one_of(const char *name, size_t n, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strlen(*list) == n && memcmp(*list, name, n) == 0)
			return true;
	return false;
}

static inline void html_fault(struct html_check *c, const char *what)
{
	if (c->fault[0] == '\0')
		snprintf(c->fault, sizeof(c->fault), "%s at: %.60s", what, c->at);
}

/* From behind the element's name to its '>'. Returns whether it closes itself. */
static inline bool html_attributes(struct html_check *c)
{
	static const char *const known[] = { "lang",       "charset", "http-equiv", "content",
					     "name",       "id",      "class",      "style",
					     "data-chart", "viewBox", "role",       "x",
					     "y",          "x1",      "x2",         "y1",
					     "y2",         "d",       "colspan",    "type",
					     "nonce",      "hidden",  NULL };
	while (*c->at == ' ') {
		size_t n = strcspn(++c->at, "= >/");
		if (!html_is_one_of(c->at, n, known))
			html_fault(c, "an attribute that is not ours");
		c->at += n;
		if (*c->at != '=')
			continue;
		n = c->at[1] == '"' ? strcspn(c->at + 2, "\"<>&") : 0;
		if (c->at[1] != '"' || c->at[2 + n] != '"') {
			html_fault(c, "an attribute without an end");
			return false;
		}
		c->at += n + 3;
	}
	if (c->at[0] == '/' && c->at[1] == '>') {
		c->at += 2;
		return true;
	}
	if (*c->at == '>')
		c->at++;
	else
		html_fault(c, "an element without an end");
	return false;
}

static inline void html_raw(struct html_check *c, const char *end, bool is_data)
{
	const char *found = strstr(c->at, end);
	if (found == NULL)
		html_fault(c, "a script without an end");
	else if (is_data && memchr(c->at, '<', (size_t)(found - c->at)) != NULL)
		html_fault(c, "an element in the data");
	else
		c->at = found;
}

static inline void html_element(struct html_check *c)
{
	static const char *const known[] = {
		"html",   "head",       "meta", "title", "style",   "body",    "main",   "header",
		"h1",     "h2",         "p",    "span",  "div",     "b",       "i",      "section",
		"figure", "figcaption", "svg",  "line",  "text",    "path",    "table",  "thead",
		"tbody",  "tr",         "th",   "td",    "details", "summary", "script", NULL
	};
	bool is_end = c->at[1] == '/', is_data;
	const char *name = c->at + 1 + is_end;
	size_t n = strcspn(name, " >/");
	if (!html_is_one_of(name, n, known)) {
		html_fault(c, "an element that is not ours");
		return;
	}
	if (is_end) {
		if (c->depth == 0 || strlen(c->open[c->depth - 1]) != n ||
		    memcmp(c->open[c->depth - 1], name, n) != 0 || name[n] != '>')
			html_fault(c, "an end of what is not open");
		else
			c->depth--;
		c->at = name + n + 1;
		return;
	}
	c->at = name + n;
	is_data = strncmp(name, "script type=\"application/json\"", 30) == 0;
	if (html_attributes(c) || c->fault[0] != '\0' || (n == 4 && memcmp(name, "meta", 4) == 0))
		return;
	if (c->depth == 32) {
		html_fault(c, "too many open elements");
		return;
	}
	snprintf(c->open[c->depth++], sizeof(c->open[0]), "%.*s", (int)n, name);
	if (n == 6 && memcmp(name, "script", n) == 0) {
		c->scripts++;
		html_raw(c, "</script>", is_data);
	} else if (n == 5 && memcmp(name, "style", n) == 0) {
		c->styles++;
		html_raw(c, "</style>", false);
	}
}

/* `text` ends with a zero. False: c->fault says what is wrong. */
static inline bool html_is_ours(struct html_check *c, const char *text)
{
	static const char begin[] = "<!DOCTYPE html>\n";
	*c = (struct html_check){ .at = text };
	if (strncmp(text, begin, strlen(begin)) != 0)
		html_fault(c, "no HTML");
	else
		c->at += strlen(begin);
	while (*c->at != '\0' && c->fault[0] == '\0') {
		if (*c->at == '<')
			html_element(c);
		else if (*c->at == '>' || (*c->at != '\n' && (*c->at < ' ' || *c->at > '~')))
			html_fault(c, "a character that is not ours");
		else
			c->at++;
	}
	if (c->fault[0] == '\0' && (c->depth != 0 || c->scripts != 2 || c->styles != 1))
		snprintf(c->fault, sizeof(c->fault), "%u elements are open, %u scripts, %u styles",
			 c->depth, c->scripts, c->styles);
	return c->fault[0] == '\0';
}

#endif
