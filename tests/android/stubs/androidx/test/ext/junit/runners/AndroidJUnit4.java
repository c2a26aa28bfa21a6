// A stub, not JUnit or AndroidX: what the instrumented test uses, after their public reference. It runs nothing.
package androidx.test.ext.junit.runners;

public final class AndroidJUnit4 {}
