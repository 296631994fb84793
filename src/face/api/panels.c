/* The dashboards as the page draws them; their rows are schema/panels.toml. */
#include "api_priv.h"
#include "gen/panels.h"

enum hg_rc api_get_panels(struct api_request *r, struct hg_err *err)
{
	(void)err;
	api_text(r, 200, "application/json", (struct hg_str){panels_json, sizeof panels_json - 1});
	return HG_OK;
}
