package edgemodel

import kotlin.math.abs
import kotlin.math.min

// How long the model's run takes: prepared input in, outputs out. All times are seconds.

// A window of the warm-up has so many runs and seconds; it ends when two windows in a row agree by AGREE.
private const val WINDOW_RUNS = 16
private const val WINDOW = 0.04
private const val AGREE = 0.05
private const val LONGEST_WARMUP = 5.0

// A timed value lasts so many steps of the clock at least, so that a step is 2 % of it.
private const val STEPS = 50
private const val MOST = 5000

/** How long to time: runs at least, and seconds. */
enum class Protocol(internal val word: String, internal val runs: Int, internal val seconds: Double) {
    LOOK("look", 50, 0.0),
    NUMBER("number", 1024, 60.0),
}

internal class Times(val seconds: List<Double>, val means: Int, val warmup: Int)

/** Time `run`: each of the seconds is the mean of `means` runs in a row. */
internal fun timed(protocol: Protocol, clock: () -> Long = System::nanoTime, progress: (Double) -> Unit = {}, run: () -> Unit): Times {
    val now = { clock() / 1e9 }
    val (typical, warmup) = warmUp(now, run)
    var means = (STEPS * step(now) / typical).let { if (it > 1) Math.ceil(it).toInt() else 1 }
    var seconds = ArrayList<Double>()
    val started = now()
    while (seconds.size < protocol.runs || now() - started < protocol.seconds) {
        if (seconds.size == MOST) {
            seconds = ArrayList(seconds.chunked(2) { (it[0] + it[1]) / 2 })
            means *= 2
        }
        val opened = now()
        repeat(means) { run() }
        seconds.add((now() - opened) / means)
        val lasted = if (protocol.seconds > 0) (now() - started) / protocol.seconds else 1.0
        progress(min(1.0, min(seconds.size.toDouble() / protocol.runs, lasted)))
    }
    return Times(seconds, means, warmup)
}

private fun warmUp(now: () -> Double, run: () -> Unit): Pair<Double, Int> {
    val started = now()
    var runs = 0
    var last = Double.POSITIVE_INFINITY
    while (true) {
        val opened = now()
        var window = 0
        while (window < WINDOW_RUNS || now() - opened < WINDOW) {
            run()
            window++
        }
        val mean = (now() - opened) / window
        runs += window
        if (abs(mean - last) <= AGREE * mean || now() - started > LONGEST_WARMUP) return mean to runs
        last = mean
    }
}

// The smallest step that the clock makes.
private fun step(now: () -> Double): Double = List(20) {
    val before = now()
    var after = now()
    while (after == before) after = now()
    after - before
}.min()
