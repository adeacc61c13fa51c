/*
 * Which authorities libcurl trusts.
 *
 * By default libcurl has both a file of all the system's authorities and a
 * directory of them, and then reads and parses the whole file for every single
 * handshake: 30 ms and more in which the loop stands still. With the directory
 * alone, OpenSSL looks up the one that it needs by its hashed name; with a file
 * alone, libcurl keeps what it parsed. So it is given only one of them.
 */
#include "fanout/transport_trust.h"

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define HASH_LENGTH 8 /* as in "5ad8a5d6.0", see openssl-rehash(1) */

static bool has_directory; /* with hashed names in it; written by init alone */

static bool is_hashed(const char *name)
{
    return strspn(name, "0123456789abcdef") == HASH_LENGTH && name[HASH_LENGTH] == '.' &&
           name[HASH_LENGTH + 1] == '0';
}

static bool has_hashed_names(const char *path)
{
    DIR *directory = path != NULL ? opendir(path) : NULL;
    const struct dirent *entry;
    bool found = false;

    if (directory == NULL)
        return false;
    while (!found && (entry = readdir(directory)) != NULL)
        found = is_hashed(entry->d_name);
    closedir(directory);
    return found;
}

void transport_trust_init(void)
{
    has_directory = has_hashed_names(curl_version_info(CURLVERSION_NOW)->capath);
}

void transport_trust_set(CURL *easy, const char *ca)
{
    if (ca != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
    else if (has_directory)
        curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    if (ca != NULL || !has_directory)
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
}

void transport_trust_nobody(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
}
