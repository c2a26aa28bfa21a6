package edgemodel

import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.TimeZone
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/** Does this application, here, do what was recorded when the model was built? And how fast? See README.md. */
class SelfTest private constructor(val passed: Boolean, val checks: List<Check>, private val page: Map<String, Any?>) {
    /** What selftest.json holds; `edgekd report RUN --add selftest.json` takes it. */
    val json: String get() = Json.write(page) + "\n"

    val failures: List<String> get() = checks.filter { it.passed == false }.map { "${it.what}: ${it.why}" }

    companion object {
        /** Run every check, then the clock; `NUMBER` takes a minute. A model that does not load fails the checks of it. */
        suspend fun run(
            platform: Platform,
            protocol: Protocol = Protocol.LOOK,
            candidates: List<Candidate>? = null,
            progress: (Double) -> Unit = {},
        ): SelfTest = withContext(Dispatchers.Default) {
            val model = Model(platform.page("model.json"))
            val opened = runCatching { opened(platform, candidates, null) }
            opened.getOrNull().use { tested(platform, model, it, opened.exceptionOrNull(), protocol, progress) }
        }

        private fun tested(
            platform: Platform,
            model: Model,
            classifier: Classifier?,
            error: Throwable?,
            protocol: Protocol,
            progress: (Double) -> Unit,
        ): SelfTest {
            val recorded = runCatching { Page(platform.page("golden/golden.json")) }.getOrNull()
            val looked = Checks(platform, model, recorded, classifier, error)
            val checks = looked.all()
            val passed = checks.all { it.passed != false }
            val latency = if (passed && classifier != null && recorded != null) {
                val sample = recorded.golden(platform::read).inputs[0]
                val times = timed(protocol, progress = progress) { classifier.engine.run(sample) }
                mapOf(
                    "protocol" to protocol.word,
                    "seconds" to times.seconds,
                    "means" to times.means,
                    "warmup" to times.warmup,
                    "load" to classifier.load,
                    "first" to classifier.first,
                )
            } else {
                null
            }
            val page = mapOf(
                "schema_version" to 1,
                "kind" to "edgekd self-test",
                "app" to "android",
                "created" to now(),
                "model" to mapOf("name" to model.file, "sha256" to (looked.sha256 ?: model.sha256), "slug" to model.slug),
                "device" to platform.device(),
                "runtime" to mapOf("name" to platform.runtime.name, "version" to platform.runtime.version),
                "accelerator" to mapOf(
                    "used" to (classifier?.used ?: platform.runtime.cpu.name),
                    "threads" to (classifier?.threads ?: 1),
                    "tried" to classifier?.tried.orEmpty().map {
                        mapOf("name" to it.name, "kept" to it.kept, "why" to plain(it.why), "seconds" to it.seconds)
                    },
                ),
                "passed" to passed,
                "checks" to checks.map { mapOf("what" to it.what, "passed" to it.passed, "why" to plain(it.why)) },
                "difference" to looked.difference,
                "tolerance" to model.tolerance,
                "latency" to latency,
            )
            return SelfTest(passed, checks, page)
        }

        // One line of a length that a report shows.
        private fun plain(text: String): String = text.replace(Regex("\\s+"), " ").trim().take(300)

        private fun now(): String = SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'+00:00'", Locale.ROOT)
            .apply { timeZone = TimeZone.getTimeZone("UTC") }
            .format(Date())
    }
}
