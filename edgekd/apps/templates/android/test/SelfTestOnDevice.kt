package edgemodel

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith

/** On a phone or an emulator: `./gradlew connectedAndroidTest`. */
@RunWith(AndroidJUnit4::class)
class SelfTestOnDevice {
    @Test
    fun answersHereAsWasRecorded() {
        val found = runBlocking { selfTest(InstrumentationRegistry.getInstrumentation().targetContext) }
        assertEquals(emptyList<String>(), found.failures)
    }
}
