#include "decode.hpp"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string>

#include "edge_model/edge_model.hpp"

#ifdef EDGE_MODEL_PNG
#include <png.h>
#endif
#ifdef EDGE_MODEL_JPEG
#include <jpeglib.h>
#endif

namespace edge_model {
namespace {

using Bytes = std::vector<std::uint8_t>;
// More pixels than this are no photo.
constexpr std::uint64_t MOST = 200'000'000;

// C libraries leave by longjmp, which runs no destructor: what they fill belongs to the caller.
struct Decoding {
    const Bytes& encoded;
    std::size_t at = 0;
    Image image = {Bytes(), 0, 0, 3};
    int orientation = 1;
    std::vector<std::uint8_t*> rows = {};
    char why[200] = "it is cut or garbled";

    std::uint8_t** sized(std::uint64_t width, std::uint64_t height, int depth) {
        if (width == 0 || height == 0 || width > MOST / height) {
            return nullptr;
        }
        image.width = static_cast<int>(width), image.height = static_cast<int>(height), image.depth = depth;
        const auto row = static_cast<std::size_t>(width) * static_cast<std::size_t>(depth);
        image.data.assign(row * static_cast<std::size_t>(height), 0);
        for (std::size_t y = 0; y < height; y++) {
            rows.push_back(&image.data[y * row]);
        }
        return rows.data();
    }
};

#ifdef EDGE_MODEL_PNG
[[noreturn]] void png_failed(png_structp png, png_const_charp why) {
    auto* decoding = static_cast<Decoding*>(png_get_error_ptr(png));
    std::snprintf(decoding->why, sizeof decoding->why, "%s", why);
    png_longjmp(png, 1);
}

void png_warned(png_structp, png_const_charp) {}

void png_take(png_structp png, png_bytep to, png_size_t size) {
    auto* decoding = static_cast<Decoding*>(png_get_io_ptr(png));
    if (decoding->encoded.size() - decoding->at < size) {
        png_error(png, "it ends too early");
    }
    std::memcpy(to, decoding->encoded.data() + decoding->at, size);
    decoding->at += size;
}

bool png_read(Decoding& decoding, png_structp png, png_infop info) {
    if (setjmp(png_jmpbuf(png))) {
        return false;
    }
    png_set_read_fn(png, &decoding, png_take);
    png_read_info(png, info);
    png_set_expand(png);
    if (png_get_color_type(png, info) == PNG_COLOR_TYPE_GRAY) {
        png_set_scale_16(png);  // rounded, as Pillow makes 16 bits of gray 8
    } else {
        png_set_strip_16(png);  // the upper byte, as it does with colours
    }
    png_set_gray_to_rgb(png);
    png_set_add_alpha(png, 255, PNG_FILLER_AFTER);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    png_bytepp rows = decoding.sized(png_get_image_width(png, info), png_get_image_height(png, info), 4);
    if (rows == nullptr) {
        png_error(png, "it is too large");
    }
    png_read_image(png, rows);
    png_read_end(png, info);
    png_bytep exif = nullptr;
    png_uint_32 size = 0;
    if (png_get_eXIf_1(png, info, &size, &exif) == PNG_INFO_eXIf && exif != nullptr) {
        decoding.orientation = orientation(exif, size);
    }
    return true;
}

bool decoded_png(Decoding& decoding) {
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoding, png_failed, png_warned);
    png_infop info = png == nullptr ? nullptr : png_create_info_struct(png);
    const bool whole = info != nullptr && png_read(decoding, png, info);
    png_destroy_read_struct(&png, &info, nullptr);
    return whole;
}
#else
bool decoded_png(Decoding&) { throw NotBuilt("this program was built without libpng"); }
#endif

#ifdef EDGE_MODEL_JPEG
struct JpegErrors {
    jpeg_error_mgr manager;
    std::jmp_buf place;
    Decoding* decoding;
};

[[noreturn]] void jpeg_failed(j_common_ptr jpeg) {
    auto* errors = reinterpret_cast<JpegErrors*>(jpeg->err);
    char text[JMSG_LENGTH_MAX];
    errors->manager.format_message(jpeg, text);
    std::snprintf(errors->decoding->why, sizeof errors->decoding->why, "%.150s", text);
    std::longjmp(errors->place, 1);
}

void jpeg_warned(j_common_ptr jpeg, int level) {
    if (level < 0) {  // data is missing or garbled: libjpeg would go on with gray
        jpeg_failed(jpeg);
    }
}

bool jpeg_read(Decoding& decoding, jpeg_decompress_struct& jpeg, JpegErrors& errors) {
    if (setjmp(errors.place)) {
        return false;
    }
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, decoding.encoded.data(), static_cast<unsigned long>(decoding.encoded.size()));
    jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_RGB;
    for (auto marker = jpeg.marker_list; marker != nullptr; marker = marker->next) {
        if (marker->data_length > 6 && std::memcmp(marker->data, "Exif\0\0", 6) == 0) {
            decoding.orientation = orientation(marker->data + 6, marker->data_length - 6);
            break;
        }
    }
    std::uint8_t** rows = decoding.sized(jpeg.image_width, jpeg.image_height, 3);
    if (rows == nullptr) {
        std::snprintf(decoding.why, sizeof decoding.why, "it is too large");
        return false;
    }
    jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
        jpeg_read_scanlines(&jpeg, rows + jpeg.output_scanline, 1);
    }
    jpeg_finish_decompress(&jpeg);
    return true;
}

bool decoded_jpeg(Decoding& decoding) {
    jpeg_decompress_struct jpeg = {};
    JpegErrors errors = {};
    errors.decoding = &decoding;
    jpeg.err = jpeg_std_error(&errors.manager);
    errors.manager.error_exit = jpeg_failed;
    errors.manager.emit_message = jpeg_warned;
    const bool whole = jpeg_read(decoding, jpeg, errors);
    jpeg_destroy_decompress(&jpeg);
    return whole;
}
#else
bool decoded_jpeg(Decoding&) { throw NotBuilt("this program was built without libjpeg"); }
#endif

}  // namespace

Image decode(const Bytes& encoded) {
    const Bytes png = {0x89, 'P', 'N', 'G', 0x0d, 0x0a, 0x1a, 0x0a}, jpeg = {0xff, 0xd8, 0xff};
    const auto begins = [&](const Bytes& with) {
        return encoded.size() > with.size() && std::equal(with.begin(), with.end(), encoded.begin());
    };
    if (!begins(png) && !begins(jpeg)) {
        throw ModelError("neither a PNG nor a JPEG file");
    }
    Decoding decoding{encoded};
    if (!(begins(png) ? decoded_png(decoding) : decoded_jpeg(decoding))) {
        throw ModelError(std::string("the image cannot be read: ") + decoding.why);
    }
    return turned(decoding.image, decoding.orientation);
}

}  // namespace edge_model
