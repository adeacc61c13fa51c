/* What libcurl's codes and texts mean. */
#include "fanout/transport_outcome.h"

#include "fanout/tls_failure.h"

#include <errno.h>
#include <string.h>

static enum outcome connect_outcome(CURL *easy)
{
    long error = 0;

    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &error);
    if (error == ECONNREFUSED)
        return OUTCOME_CONNECT_REFUSED;
    return error == ETIMEDOUT ? OUTCOME_CONNECT_TIMEOUT : OUTCOME_CONNECT_FAILED;
}

/* libcurl has one code for a lost connection and for an answer that can't be parsed. */
static bool is_malformed(const char *error)
{
    return strstr(error, "chunk") != NULL || strstr(error, "response headers") != NULL;
}

/* With TLS 1.3 a client's certificate is judged when the handshake is over for the client, and
 * the alert comes where an answer should. */
static enum outcome lost_outcome(CURLcode code, const char *error)
{
    if (tls_failure_is_told_by(error))
        return OUTCOME_TLS_ERROR;
    return code == CURLE_RECV_ERROR && is_malformed(error) ? OUTCOME_PROTOCOL_ERROR : OUTCOME_RESET;
}

enum outcome transport_outcome(CURL *easy, CURLcode code, const char *error)
{
    switch (code) {
    case CURLE_OK:
        return OUTCOME_OK;
    case CURLE_COULDNT_CONNECT:
        return connect_outcome(easy);
    case CURLE_OPERATION_TIMEDOUT: /* we set no other timeout */
        return OUTCOME_CONNECT_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_CLIENTCERT:
        return OUTCOME_TLS_ERROR;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return lost_outcome(code, error);
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return OUTCOME_RESET;
    case CURLE_FAILED_INIT:
    case CURLE_URL_MALFORMAT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_ABORTED_BY_CALLBACK:
        return OUTCOME_INTERNAL;
    default: /* many codes, and "out of memory" for a line without end, but one meaning */
        return OUTCOME_PROTOCOL_ERROR;
    }
}

static const char *tls_words(CURL *easy, CURLcode code, const char *error)
{
    long verify_result = 0;

    if (code == CURLE_SSL_CERTPROBLEM)
        return "the client certificate or its key can't be used";
    if (code == CURLE_SSL_CACERT_BADFILE)
        return "the trusted certificates can't be read";
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &verify_result);
    return tls_failure_words(verify_result, error);
}

const char *transport_detail(CURL *easy, CURLcode code, enum outcome outcome, const char *error)
{
    const char *words = outcome == OUTCOME_TLS_ERROR ? tls_words(easy, code, error) : NULL;

    if (words != NULL)
        return words;
    return error[0] != '\0' ? error : curl_easy_strerror(code);
}
