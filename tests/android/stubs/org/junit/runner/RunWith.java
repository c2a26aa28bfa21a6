// A stub, not JUnit or AndroidX: what the instrumented test uses, after their public reference. It runs nothing.
package org.junit.runner;

public @interface RunWith {
    Class<?> value();
}
