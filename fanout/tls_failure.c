/*
 * TLS failures in plain words, by number wherever there is one, because texts
 * change with every version:
 *
 *   certificates  X509_V_ERR_… of OpenSSL's <openssl/x509_vfy.h>; they are
 *                 listed in x509_verify_cert_error_string(3)
 *   alerts        AlertDescription of RFC 8446, section 6, and RFC 5246,
 *                 section 7.2; OpenSSL adds 1000 (SSL_AD_REASON_OFFSET)
 *   the rest      SSL_R_… of OpenSSL's <openssl/sslerr.h>
 */
#include "fanout/tls_failure.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define ALERT(number)  (1000 + (number))
#define UNEXPECTED_EOF 294 /* SSL_R_UNEXPECTED_EOF_WHILE_READING */

/* The bits of an OpenSSL 3 error code (ERR_PACK): the library above, the reason below. */
#define LIBRARY_SHIFT 23
#define LIBRARY_SSL   20u
#define REASON_MASK   0x7fffffu

struct row {
    long number;
    const char *words;
};

static const struct row certificates[] = {
    {2, "the certificate's issuer is unknown"},
    {7, "the certificate's signature is wrong"},
    {9, "the certificate is not valid yet"},
    {10, "the certificate has expired"},
    {18, "the certificate is self-signed"},
    {19, "the certificate's issuer is unknown: the chain ends in a self-signed one"},
    {20, "the certificate's issuer is unknown"},
    {21, "the certificate's issuer is unknown"},
    {22, "the certificate's chain is too long"},
    {23, "the certificate has been revoked"},
    {26, "the certificate is not for a server"},
    {62, "the certificate is for another host name"},
    {64, "the certificate is for another address"},
    {66, "the certificate's key is too weak"},
    {67, "a key in the certificate's chain is too weak"},
    {68, "a signature in the certificate's chain is too weak"},
    {79, "the certificate's issuer must not issue certificates"},
};

static const struct row reasons[] = {
    {258, "the upstream offers nothing newer than TLS 1.1"}, /* SSL_R_UNSUPPORTED_PROTOCOL */
    {266, "the upstream offers nothing newer than TLS 1.1"}, /* SSL_R_WRONG_SSL_VERSION */
    {267, "the upstream does not speak TLS on this port"},   /* SSL_R_WRONG_VERSION_NUMBER */
    {UNEXPECTED_EOF, "the connection was closed during the TLS handshake"},
    {394, "the upstream's cipher is too weak"}, /* SSL_R_DH_KEY_TOO_SMALL */
    {ALERT(40), "the upstream refused the handshake: no cipher in common, or it wants a client "
                "certificate"},
    {ALERT(42), "the upstream does not take the client certificate"},
    {ALERT(43), "the upstream does not take the client certificate"},
    {ALERT(44), "the upstream says that the client certificate has been revoked"},
    {ALERT(45), "the upstream says that the client certificate has expired"},
    {ALERT(46), "the upstream does not take the client certificate"},
    {ALERT(48), "the upstream does not know the client certificate's issuer"},
    {ALERT(49), "the upstream denies access to the client certificate"},
    {ALERT(70), "the upstream offers nothing newer than TLS 1.1"},
    {ALERT(71), "the upstream wants better ciphers than ours"},
    {ALERT(80), "the upstream has an internal error"},
    {ALERT(112), "the upstream does not know the host name"},
    {ALERT(116), "the upstream wants a client certificate"},
};

static const char *look_up(const struct row *rows, size_t count, long number)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].number == number)
            return rows[i].words;
    return NULL;
}

/* The reason in a text like "…error:0A00045C:SSL routines::…"; 0: there is none. */
static long reason_of(const char *detail)
{
    static const char mark[] = "error:";
    const char *at = detail;

    while ((at = strstr(at, mark)) != NULL) {
        unsigned long code = strtoul(at += sizeof mark - 1, NULL, 16);

        if (code >> LIBRARY_SHIFT == LIBRARY_SSL)
            return (long)(code & REASON_MASK);
    }
    return 0;
}

/* libcurl compares the names itself, and has no number for that. */
static bool is_about_the_name(const char *detail)
{
    return strstr(detail, "subject name") != NULL || strstr(detail, "common name") != NULL;
}

const char *tls_failure_words(long verify_result, const char *detail)
{
    const char *words = look_up(certificates, COUNT(certificates), verify_result);
    long reason = reason_of(detail);

    if (words != NULL)
        return words;
    if (is_about_the_name(detail))
        return "the certificate is for another host name";
    if (reason == 0 && strstr(detail, "SSL_connect:") != NULL) /* the system's error, or none */
        reason = UNEXPECTED_EOF;
    return look_up(reasons, COUNT(reasons), reason);
}

bool tls_failure_is_told_by(const char *detail)
{
    long reason = reason_of(detail);

    return reason != 0 && reason != UNEXPECTED_EOF;
}
