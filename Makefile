# The front of the Meson build: short words for what people do every day.
BUILD ?= build
MESON_FLAGS ?=

.PHONY: all everything run test test-long bench fuzz fuzz-long tsan lint format coverage sanitize build-sanitize dist install clean docs screenshots

# The two programs, and nothing a first look does not need.
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet headgate feedback-app

everything: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja:
	@meson setup $(BUILD) $(MESON_FLAGS) >/dev/null

run: all
	@$(BUILD)/headgate up -f headgate.yaml

test: everything
	@tools/test.sh $(BUILD)

test-long: everything
	@HEADGATE_TEST_LONG=1 tools/test.sh $(BUILD)

build-sanitize:
	@test -f build-asan/build.ninja || meson setup build-asan -Db_sanitize=address,undefined \
		-Db_lundef=false -Doptimization=1 $(MESON_FLAGS) >/dev/null
	@ninja -C build-asan --quiet

# The same tests under AddressSanitizer and UndefinedBehaviorSanitizer.
sanitize: build-sanitize
	@HEADGATE_TEST_SKIP=browser tools/test.sh build-asan

coverage:
	@tools/coverage.sh

lint: everything
	@tools/lint.sh $(BUILD)

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

bench: all
	@bench/run $(BUILD)

# Five minutes of CPU time over all targets, or an hour, at idle priority (needs clang).
fuzz:
	@tools/fuzz.sh 300

fuzz-long:
	@tools/fuzz.sh 3600

# Threads of the edge's and control's tests, and the whole platform, under ThreadSanitizer.
tsan:
	@tools/tsan.sh

# Pictures of the dashboard, in docs/images.
screenshots: everything
	@tools/screenshots.sh $(BUILD)

dist:
	@git archive --format=tar.gz --prefix=headgate-$$(sed -n "s/^  version : '\(.*\)',/\1/p" meson.build)/ \
		-o headgate.tar.gz HEAD

install: all
	@meson install -C $(BUILD)

clean:
	@rm -rf $(BUILD) build-asan build-cov build-fuzz build-tsan
