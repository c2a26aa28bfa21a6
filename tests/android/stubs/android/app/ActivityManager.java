// A stub, not Android: what the application uses, after the public reference of Android. It runs nothing.
package android.app;

public class ActivityManager {
    public static class MemoryInfo {
        public long totalMem;
    }

    public void getMemoryInfo(MemoryInfo outInfo) {
        throw new UnsupportedOperationException("stub");
    }
}
