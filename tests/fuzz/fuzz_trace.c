/* Trace files, as bytes: replayed, or refused with the line; knobs stay at candidates. */
#include "ace/ace_trace.h"

#include "fuzz.h"
#include "fuzz_ace.h"

static struct ace_replay result;
static struct ace_controller replayed;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t lines = 1;
	bool good = ace_replay(&result, &replayed, (const char *)data, size);
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	FUZZ_REQUIRE(good == (result.error == NULL), "%s, and an error: %s", good ? "good" : "bad",
		     result.error);
	FUZZ_REQUIRE(good || (result.line >= 1 && result.line <= lines), "line %llu of %llu",
		     (unsigned long long)result.line, (unsigned long long)lines);
	FUZZ_REQUIRE(result.samples + result.decisions < lines, "%llu samples and %llu decisions",
		     (unsigned long long)result.samples, (unsigned long long)result.decisions);
	fuzz_check_controller(&replayed);
	return 0;
}
