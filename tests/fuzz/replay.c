/* Runs a fuzz target over a folder of inputs, over every beginning of them, and over each with one
 * byte changed at a time: what a build without libFuzzer can do. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>

#define INPUT_MAX 65536u

static void variations(uint8_t *data, size_t n)
{
	static const uint8_t bytes[] = {0, '\n', '\r', ' ', '0', ',', 0xff};
	size_t step = n <= 128 ? 1 : n / 64;
	LLVMFuzzerTestOneInput(data, n);
	for (size_t i = 0; i < n; i += step) {
		uint8_t was = data[i];
		LLVMFuzzerTestOneInput(data, i);
		data[i] = bytes[i % sizeof bytes];
		LLVMFuzzerTestOneInput(data, n);
		data[i] = was;
	}
}

static int replay(const char *path)
{
	static uint8_t data[INPUT_MAX];
	FILE *f = fopen(path, "rb");
	if (!f) return -1;
	size_t n = fread(data, 1, sizeof data, f);
	int bad = ferror(f);
	fclose(f);
	if (bad) return -1;
	variations(data, n);
	return 0;
}

int main(int argc, char **argv)
{
	char path[4096];
	unsigned count = 0;
	DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
	if (!d) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.') continue;
		snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
		if (replay(path) < 0) {
			fprintf(stderr, "could not read %s\n", path);
			return 1;
		}
		count++;
	}
	closedir(d);
	printf("%u inputs\n", count);
	/* A folder that lost its files must not look like success. */
	return count ? 0 : 1;
}
