// A stub, not Android: what the application uses, after the public reference of Android. It runs nothing.
package android.os;

public class Build {
    public static final String MANUFACTURER = new String();
    public static final String MODEL = new String();
    public static final String HARDWARE = new String();
    public static final String SOC_MANUFACTURER = new String();
    public static final String SOC_MODEL = new String();
    public static final String[] SUPPORTED_ABIS = {};

    public static class VERSION {
        public static final int SDK_INT = Integer.parseInt("0");
        public static final String RELEASE = new String();
    }

    public static class VERSION_CODES {
        public static final int S = 31;
    }
}
