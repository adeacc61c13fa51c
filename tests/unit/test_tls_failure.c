/* TLS failures in plain words, from the texts of libcurl 7.88 and 8.14. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/tls_failure.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void each_failure_has_its_words(void **state)
{
    static const struct {
        long verify_result;
        const char *detail, *words;
    } rows[] = {
        {10, "SSL certificate problem: certificate has expired", "the certificate has expired"},
        {18, "SSL certificate problem: self-signed certificate", "the certificate is self-signed"},
        {20, "", "the certificate's issuer is unknown"},
        {1, "SSL: no alternative certificate subject name matches target host name 'users.test'",
         "the certificate is for another host name"},
        {0, "SSL: no alternative certificate subject name matches target ipv4 address '127.0.0.1'",
         "the certificate is for another host name"},
        {1, "SSL: certificate subject name 'a' does not match target host name 'b'",
         "the certificate is for another host name"},
        {0, "error:0A000102:SSL routines::unsupported protocol",
         "the upstream offers nothing newer than TLS 1.1"},
        {0, "TLS connect error: error:0A00042E:SSL routines::tlsv1 alert protocol version",
         "the upstream offers nothing newer than TLS 1.1"},
        {0, "error:0A00010B:SSL routines::wrong version number",
         "the upstream does not speak TLS on this port"},
        {0,
         "OpenSSL SSL_read: OpenSSL/3.5.0: error:0A00045C:SSL routines::tlsv13 alert certificate "
         "required, errno 0",
         "the upstream wants a client certificate"},
        {0, "OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to 127.0.0.1:8443 ",
         "the connection was closed during the TLS handshake"},
        {0, "OpenSSL SSL_connect: Connection reset by peer in connection to 127.0.0.1:8443 ",
         "the connection was closed during the TLS handshake"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(tls_failure_words(rows[i].verify_result, rows[i].detail),
                            rows[i].words);
}

static void what_is_unknown_has_none(void **state)
{
    (void)state;
    assert_null(tls_failure_words(0, ""));
    assert_null(tls_failure_words(1, "something new"));
    assert_null(tls_failure_words(0, "error:0A000FFF:SSL routines::something new"));
    assert_null(tls_failure_words(0, "error:80000068:system library::Connection reset by peer"));
}

static void a_lost_connection_is_not_about_tls(void **state)
{
    (void)state;
    assert_true(tls_failure_is_told_by(
        "OpenSSL SSL_read: error:0A000412:SSL routines::sslv3 alert bad certificate, errno 0"));
    assert_true(tls_failure_is_told_by("error:0A0000FC:SSL routines::decryption failed"));
    assert_false(tls_failure_is_told_by(
        "OpenSSL SSL_read: error:0A000126:SSL routines::unexpected eof while reading, errno 0"));
    assert_false(tls_failure_is_told_by("OpenSSL SSL_read: Connection reset by peer, errno 104"));
    assert_false(tls_failure_is_told_by("Recv failure: Connection reset by peer"));
    assert_false(tls_failure_is_told_by("error:"));
    assert_false(tls_failure_is_told_by(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failure_has_its_words),
        cmocka_unit_test(what_is_unknown_has_none),
        cmocka_unit_test(a_lost_connection_is_not_about_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
