/*
 * What went wrong in a TLS handshake, in plain words. Pure functions: they are
 * told numbers and libcurl's text, and know no library.
 */
#ifndef FANOUT_TLS_FAILURE_H
#define FANOUT_TLS_FAILURE_H

#include <stdbool.h>

/*
 * verify_result: the result of checking the certificate's chain, an X509_V_ number of OpenSSL's
 * (CURLINFO_SSL_VERIFYRESULT). detail: libcurl's error text, which has OpenSSL's error number.
 * Static; NULL: nothing better than the detail itself.
 */
const char *tls_failure_words(long verify_result, const char *detail);

/* Whether a text for an error while sending or receiving is about TLS itself, such as an alert
 * of the peer's, and not about a lost connection. */
bool tls_failure_is_told_by(const char *detail);

#endif
