#include "html.h"

void html_text(FILE *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '<' || *s == '>' || *s == '&' || *s == '"' || *s == '\'')
			fprintf(out, "&#%d;", *s);
		else
			fputc(*s, out);
	}
}

void json_text(FILE *out, const char *s)
{
	fputc('"', out);
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		if (c < ' ' || c > '~' || c == '<' || c == '>' || c == '&' || c == '"' ||
		    c == '\\' || c == '\'')
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}
