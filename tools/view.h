/* A page in lines of text, as a person looks at it: what `top` draws again and again. */
#ifndef HAKMEM_TOOLS_VIEW_H
#define HAKMEM_TOOLS_VIEW_H

#include "page.h"

enum { VIEW_LINES = 64, VIEW_COLUMNS = 160 };

enum view_style { VIEW_PLAIN, VIEW_TITLE, VIEW_FAINT };

struct view {
	unsigned count;
	char text[VIEW_LINES][VIEW_COLUMNS];
	enum view_style style[VIEW_LINES];
};

/* Two readings of one page: rates are what happened in between. `rows` is about how many
 * lines there is room for. */
void view_draw(struct view *v, const struct statpage *now, const struct statpage *before,
	       unsigned rows);

#endif
