// A stub, not Android: what the application uses, after the public reference of Android. It runs nothing.
package android.content;

import android.content.res.AssetManager;
import java.io.File;

public abstract class Context {
    public static final String ACTIVITY_SERVICE = "activity";

    public abstract Context getApplicationContext();
    public abstract AssetManager getAssets();
    public abstract File getCacheDir();
    public abstract File getFilesDir();
    public abstract File getExternalFilesDir(String type);
    public abstract Object getSystemService(String name);
}
