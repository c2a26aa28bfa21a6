// A stub, not Android: what the application uses, after the public reference of Android. It runs nothing.
package android.graphics;

import java.nio.Buffer;

public final class Bitmap {
    public enum Config { ALPHA_8, RGB_565, ARGB_4444, ARGB_8888, RGBA_F16, HARDWARE, RGBA_1010102 }

    public native int getWidth();
    public native int getHeight();
    public native int getRowBytes();
    public native Config getConfig();
    public native Bitmap copy(Config config, boolean isMutable);
    public native void copyPixelsToBuffer(Buffer dst);
    public native void getPixels(int[] pixels, int offset, int stride, int x, int y, int width, int height);
    public native void recycle();
}
