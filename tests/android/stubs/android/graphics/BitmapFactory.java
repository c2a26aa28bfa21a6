// A stub, not Android: what the application uses, after the public reference of Android. It runs nothing.
package android.graphics;

public class BitmapFactory {
    public static class Options {
        public boolean inPremultiplied;
        public boolean inScaled;
        public Bitmap.Config inPreferredConfig;
    }

    public static native Bitmap decodeByteArray(byte[] data, int offset, int length, Options opts);
}
