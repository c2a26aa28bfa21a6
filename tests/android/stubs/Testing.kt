// A stub, not AndroidX: what the instrumented test uses, after the public reference of androidx.test.
package androidx.test.platform.app

import android.content.Context

class Instrumentation(val targetContext: Context)

object InstrumentationRegistry {
    fun getInstrumentation(): Instrumentation = throw UnsupportedOperationException("stub")
}
