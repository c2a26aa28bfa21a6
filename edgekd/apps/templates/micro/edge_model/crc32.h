/* The CRC-32 of bytes (that of zlib, Ethernet and PNG): whether what is in flash is what was written. */
#ifndef EDGEKD_CRC32_H_
#define EDGEKD_CRC32_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

uint32_t edgekd_crc32(const void *bytes, size_t count);

#ifdef __cplusplus
}
#endif
#endif
