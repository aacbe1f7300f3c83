/* Text into HTML and JSON. What is written through these has no meaning there, whatever is in
 * it. */
#ifndef HAKMEM_TOOLS_HTML_H
#define HAKMEM_TOOLS_HTML_H

#include <stdio.h>

/* As text between tags, or as an attribute's value between quotes. */
void html_text(FILE *out, const char *s);

/* As a string of JSON with its quotes, which may also stand in a script element. */
void json_text(FILE *out, const char *s);

#endif
