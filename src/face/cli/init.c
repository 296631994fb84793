/* init: looks at the folder, writes the smallest file that runs what is there. */
#include "cli_priv.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct guess {
	char name[64];
	char command[512];
	const char *from; /* for people: where the guess comes from */
};

/* Names of apps are [a-z0-9-], begin and end with a letter or digit. */
void cli_app_name(const char *from, char to[64])
{
	const char *slash = strrchr(from, '/');
	size_t n = 0;
	for (const char *p = slash ? slash + 1 : from; *p && n < 40; p++) {
		unsigned char ch = (unsigned char)*p;
		if (ch == '.' && n) break; /* without the extension */
		if (isalnum(ch) && ch < 0x80)
			to[n++] = (char)tolower(ch);
		else if (n && to[n - 1] != '-')
			to[n++] = '-';
	}
	while (n && to[n - 1] == '-')
		n--;
	if (!n) n = (size_t)snprintf(to, 64, "app");
	to[n] = 0;
}

static bool program_here(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool from_procfile(struct guess *g)
{
	char line[512];
	FILE *f = fopen("Procfile", "re");
	bool found = false;
	if (!f) return false;
	while (!found && fgets(line, sizeof line, f)) {
		struct hg_str rest = hg_str(line), name = hg_str_cut(&rest, ':');
		rest = hg_str_trim(rest);
		if (!hg_str_eq(name, HG_STR("web")) || !rest.n) continue;
		found = hg_str_copy(rest, g->command, sizeof g->command);
		g->from = "the web line of Procfile";
	}
	fclose(f);
	return found;
}

static bool from_package(struct guess *g)
{
	json_t *j = json_load_file("package.json", 0, NULL);
	const char *start =
	        json_string_value(json_object_get(json_object_get(j, "scripts"), "start"));
	const char *name = json_string_value(json_object_get(j, "name"));
	if (start) {
		snprintf(g->command, sizeof g->command, "npm start");
		g->from = "scripts.start of package.json";
		if (name) cli_app_name(name, g->name);
	}
	json_decref(j);
	return start != NULL;
}

static bool from_known_files(struct guess *g)
{
	static const struct {
		const char *file, *command;
	} rows[] = {{"app.py", "python3 app.py"}, {"main.py", "python3 main.py"},
	        {"server.js", "node server.js"}, {"index.js", "node index.js"},
	        {"manage.py", "python3 manage.py runserver 127.0.0.1:$PORT"}};
	char here[PATH_MAX];
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		if (access(rows[i].file, R_OK) != 0) continue;
		snprintf(g->command, sizeof g->command, "%s", rows[i].command);
		g->from = rows[i].file;
		return true;
	}
	/* A program with the name of its folder, as compilers and Go leave it. */
	if (!getcwd(here, sizeof here)) return false;
	const char *base = strrchr(here, '/') + 1;
	char path[PATH_MAX];
	static const char *const folders[] = {"", "build/", "bin/", "target/release/"};
	for (size_t i = 0; i < HG_COUNT(folders); i++) {
		snprintf(path, sizeof path, "./%s%.255s", folders[i], base);
		if (!program_here(path)) continue;
		snprintf(g->command, sizeof g->command, "%.480s --port $PORT", path);
		g->from = "the program with the name of this folder";
		return true;
	}
	return false;
}

/* Most programs found like this read PORT from their environment; the file has to say so. */
static void name_port(struct guess *g)
{
	static const char before[] = "env PORT=$PORT ";
	size_t n = strlen(g->command);
	if (strstr(g->command, "$PORT") || strstr(g->command, "${PORT}")) return;
	if (n + sizeof before > sizeof g->command) return;
	memmove(g->command + sizeof before - 1, g->command, n + 1);
	memcpy(g->command, before, sizeof before - 1);
}

static void file_text(const struct guess *g, struct hg_buf *to)
{
	bool quote = strpbrk(g->command, ":#'\"{}[],&*!|>%@`") != NULL;
	hg_buf_fmt(to, "# What Headgate runs. Every key: headgate explain KEY. Check: headgate "
	               "config check\n");
	hg_buf_fmt(to, "version: 1\nproject: %s\nedge:\n  listen: {http: 8080}\napps:\n  %s:\n",
	        g->name, g->name);
	hg_buf_cstr(to, "    # Each replica gets a free port of its own as $PORT.\n    command: ");
	if (quote) hg_buf_byte(to, '\'');
	for (const char *p = g->command; *p; p++) {
		if (quote && *p == '\'') hg_buf_byte(to, '\'');
		hg_buf_byte(to, *p);
	}
	if (quote) hg_buf_byte(to, '\'');
	hg_buf_cstr(to,
	        "\n    replicas: 2\n"
	        "    # Takes requests once it accepts connections; better: {http: /health}\n"
	        "    probes:\n      readiness: {tcp: true, every: 5s}\n"
	        "    routes: [{host: \"*\", path: /}]\n");
}

int cli_do_init(struct cli *c)
{
	struct guess g = {0};
	struct hg_err err = {0};
	struct hg_buf text;
	char here[PATH_MAX];
	const char *file = c->args.value[CLI_F_FILE] ? c->args.value[CLI_F_FILE] : "headgate.yaml";
	bool found = true;
	if (c->args.count) {
		const char *p = c->args.positional[0];
		snprintf(g.command, sizeof g.command, "%s%.400s --port $PORT",
		        strchr(p, '/') ? "" : "./", p);
		cli_app_name(p, g.name);
		g.from = "the program you named";
	} else if (!from_procfile(&g) && !from_package(&g) && !from_known_files(&g)) {
		snprintf(g.command, sizeof g.command, "./app --port $PORT");
		g.from = "nothing found here: mend the command";
		found = false;
	}
	name_port(&g);
	if (!g.name[0]) cli_app_name(getcwd(here, sizeof here) ? here : "app", g.name);
	hg_buf_init(&text, 16384);
	file_text(&g, &text);
	int fd = -1;
	if (!cli_has(&c->args, CLI_F_DRY_RUN)) {
		fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0 && errno == EEXIST)
			hg_err_set(&err, HG_E_FILE_EXISTS, "\"%s\" exists and is not overwritten",
			        file);
		else if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n || fsync(fd) < 0)
			hg_err_set(&err, HG_E_IO, "could not write \"%s\": %m", file);
	}
	if (fd >= 0) close(fd);
	if (err.rc == HG_OK) {
		cli_out("%s", hg_buf_text(&text));
		cli_say("%s %s%s (from: %s)", cli_mark(c, found ? CLI_GOOD : CLI_WARN),
		        fd >= 0 ? "written to " : "dry run, nothing written", fd >= 0 ? file : "",
		        g.from);
		cli_next(c, "headgate up -f %s", file);
	}
	hg_buf_free(&text);
	return err.rc < 0 ? cli_fail(&err) : 0;
}
