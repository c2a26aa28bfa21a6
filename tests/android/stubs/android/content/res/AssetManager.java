// A stub, not Android: what the application uses, after the public reference of Android. It runs nothing.
package android.content.res;

import java.io.IOException;
import java.io.InputStream;

public final class AssetManager {
    public InputStream open(String fileName) throws IOException {
        throw new UnsupportedOperationException("stub");
    }
}
