/*
 * The id of a request (X-Request-Id): what the caller sent where it is fit to
 * be logged and passed on, else a new random one.
 */
#ifndef SERVICE_REQUEST_ID_H
#define SERVICE_REQUEST_ID_H

#define REQUEST_ID_SIZE 129

/* sent: what the caller gave; NULL: nothing. Fit: 1 to 128 of A-Z a-z 0-9 . _ - */
void request_id_take(char id[REQUEST_ID_SIZE], const char *sent);

#endif
