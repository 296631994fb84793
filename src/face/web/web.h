/*
 * The dashboard: the files of web/dist, built into the program. Nothing here asks who is there: the
 * page is the same for everybody and says nothing of this Headgate; what it shows it asks of the
 * API with a token. It runs only its own script and style, loads nothing from elsewhere, and stands
 * in nobody's frame, whatever a stored text says.
 */
#ifndef FACE_WEB_WEB_H
#define FACE_WEB_WEB_H

#include "serve/serve.h"

/*
 * Answers with the file at `url` ("/", "/favicon.svg", "/assets/app-1a2b3c4d.js"); false: there is
 * none, and nothing was answered. What lies under /assets/ is named by its contents and cached for
 * ever, the rest is asked for again each time (304 when it is the same). One thread; no errors
 * beyond those of serve_answer.
 */
HG_MUST bool web_answer(
        struct serve_call *call, const struct serve_request *req, struct hg_str url);

#endif
