/*
 * Request smuggling as it is published: a second request hides where two readers
 * disagree. Either the whole is refused, or the hidden request is a body.
 */
#include "tests/unit/guard_cases.h"

#define HIDDEN "GET /admin HTTP/1.1\r\nHost: a\r\nX: y"
#define LAST   "0\r\n\r\n"
#define TE     "Transfer-Encoding: chunked"
#define LENGTH "Content-Length: "

static const struct guard_case cases[] = {
    /* a length for one, chunks for the other */
    REFUSED("A length that covers the last chunk and a hidden request", 400,
            POST LENGTH "39" END TE END END LAST HIDDEN),
    REFUSED("A length that ends inside the first chunk", 400,
            POST LENGTH "4" END TE END END "22\r\n" HIDDEN END END LAST),
    REFUSED("A length that looks as if it had been taken away", 400,
            POST "Content-Length : 39" END TE END END LAST HIDDEN),
    REFUSED("A length in the second line of a fold", 400,
            POST "X: y\r\n Content-Length: 34" END END HIDDEN),
    REFUSED("A length of none before a length", 400,
            POST LENGTH "0" END LENGTH "34" END END HIDDEN),
    REFUSED("A length before a length of none", 400,
            POST LENGTH "34" END LENGTH "0" END END HIDDEN),
    REFUSED("An empty length before a length", 400, POST LENGTH END LENGTH "34" END END HIDDEN),
    REFUSED("A length that is octal for some", 400, POST LENGTH "0x22" END END HIDDEN),
    PASSES(0, "A length with a zero before it is decimal", POST LENGTH "042" END END HIDDEN),
    PASSES(1, "A hidden request of the right length is a body", POST LENGTH "34" END END HIDDEN),
    PASSES(2, "A request behind a body that some would not read is a request",
           GET LENGTH "5" END END "hello" GET END),
    PASSES(1, "A hidden request in the body of a GET is a body", GET LENGTH "34" END END HIDDEN),
    REFUSED("A hidden request in the body of a HEAD", 400,
            "HEAD / HTTP/1.1\r\nHost: a\r\n" LENGTH "34" END END HIDDEN),
    REFUSED("Chunks in HTTP/1.0, which has none", 400,
            "POST / HTTP/1.0\r\nHost: a\r\n" TE END END LAST HIDDEN),

    /* a Transfer-Encoding that one of two does not see */
    REFUSED("A space before the colon", 400,
            POST LENGTH "4" END "Transfer-Encoding : chunked" END END LAST HIDDEN),
    REFUSED("A tab before the colon", 400, POST "Transfer-Encoding\t: chunked" END END LAST HIDDEN),
    REFUSED("A vertical tab before the value", 400,
            POST "Transfer-Encoding:\vchunked" END END LAST HIDDEN),
    REFUSED("A form feed behind the value", 400,
            POST "Transfer-Encoding: chunked\f" END END LAST HIDDEN),
    REFUSED("A NUL behind the value", 400, POST "Transfer-Encoding: chunked\0" END END LAST HIDDEN),
    REFUSED("A byte in the place of the hyphen", 400,
            POST "Transfer\rEncoding: chunked" END END LAST HIDDEN),
    REFUSED("A space before the name", 400, POST " Transfer-Encoding: chunked" END END LAST HIDDEN),
    REFUSED("A fold before the value", 400,
            POST "Transfer-Encoding:\r\n chunked" END END LAST HIDDEN),
    REFUSED("A fold behind the value", 400, POST TE "\r\n x" END END LAST HIDDEN),
    REFUSED("A bare LF before the name", 400,
            POST "X: y\nTransfer-Encoding: chunked" END END LAST HIDDEN),
    REFUSED("A bare CR before the name", 400,
            POST "X: y\rTransfer-Encoding: chunked" END END LAST HIDDEN),
    REFUSED("A line end and a bare CR before the name", 400,
            POST "X: y\r\n\rTransfer-Encoding: chunked" END END LAST HIDDEN),
    REFUSED("A bare LF in the name", 400, POST "Transfer-Encoding\n: chunked" END END LAST HIDDEN),
    REFUSED("A colon before the name", 400, POST ":Transfer-Encoding: chunked" END END LAST HIDDEN),
    REFUSED("A value in single quotes, which a token may have", 501,
            POST "Transfer-Encoding: 'chunked'; x" END END LAST HIDDEN),
    REFUSED("A value with an x before it", 501, POST "Transfer-Encoding: xchunked" END END LAST),
    REFUSED("A second coding in another field", 400,
            POST TE END "Transfer-Encoding: x" END END LAST HIDDEN),
    REFUSED("A coding of no name in a first field", 400,
            POST "Transfer-Encoding:" END TE END END LAST HIDDEN),
    REFUSED("A high byte before the value", 400,
            POST "Transfer-Encoding: \xff"
                 "chunked" END END LAST HIDDEN),
    REFUSED("A no-break space before the value", 400,
            POST "Transfer-Encoding: \xa0"
                 "chunked" END END LAST HIDDEN),
    REFUSED("Connection naming the field does not hide it", 400,
            POST "Connection: Transfer-Encoding" END LENGTH "4" END TE END END LAST HIDDEN),
    PASSES_AS(1, "A tab before the value hides nothing",
              POST "Transfer-Encoding:\tchunked" END END "22\r\n" HIDDEN END LAST,
              POST "Transfer-Encoding:chunked" END END "22\r\n" HIDDEN END LAST),
    PASSES(0, "Underscores make another field, and no chunks",
           POST "Transfer_Encoding: chunked" END LENGTH "99" END END LAST HIDDEN),

    /* chunks of which one of two sees another size or end */
    REFUSED("A bare LF inside an extension", 400,
            SENT "5;\nxxxxx\r\n22\r\n0\r\n\r\n" HIDDEN END LAST),
    REFUSED("A bare CR at the end of an extension", 400,
            SENT "3;a=b\r\rxxx\r\n0\r\n\r\n" HIDDEN END END),
    REFUSED("A bare CR at the end of a size", 400, SENT "5\r\r;ABCD\r\n34\r\nE\r\n" LAST HIDDEN),
    REFUSED("A bare LF for the end of the last chunk", 400, SENT "0\n\r\n" HIDDEN),
    REFUSED("Data that spill over their size", 400, SENT "5\r\nhelloXX0\r\n\r\n" HIDDEN),
    REFUSED("A size that is longer for those who know 0x", 400, SENT "0x22\r\n" HIDDEN END LAST),
    REFUSED("A size that wraps around in 64 bits", 400,
            SENT "10000000000000000\r\n\r\n" HIDDEN END END),
    REFUSED("A size behind a line that is empty", 400, SENT "\r\n0\r\n\r\n" HIDDEN),
    REFUSED("A trailer that would be a length", 400, SENT "0\r\n" LENGTH "34\r\n\r\n" HIDDEN),
    REFUSED("A trailer that is the start of a request", 400, SENT "0\r\n" HIDDEN END END),
    PASSES(1, "A hidden request in a chunk is a body", SENT "22\r\n" HIDDEN END LAST),

    /* lines that one of two reads otherwise */
    REFUSED("A request in a line that begins with bare CR", 400,
            "GET / HTTP/1.1\r\nHost: a\r\n\rZGET /admin HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("A request behind a section that ends in bare LF", 400, GET "\n" HIDDEN END END),
    REFUSED("A request in the name of a field", 400, GET HIDDEN END END),
    REFUSED("A request behind an encoded line end that is none", 400,
            "GET / HTTP/1.1%0d%0aHost: b HTTP/1.1\r\nHost: a\r\n\r\n"),
    PASSES(1, "An encoded line end in a target ends nothing",
           "GET /%0d%0aX:y HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("A second host in the target", 400, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("A second host in a folded field", 400,
            "GET / HTTP/1.1\r\nHost: a\r\n Host: b\r\n\r\n"),
    REFUSED("A second host in a name with a space", 400,
            "GET / HTTP/1.1\r\nHost: a\r\nHost : b\r\n\r\n"),
    REFUSED_AFTER(1, "Rubbish behind a request is refused, and the request is not", 400,
                  GET END "X" END),
    REFUSED_AFTER(2, "Rubbish behind a body is refused, and what came before is not", 400,
                  GET END POST LENGTH "5" END END "helloX\r\n"),
    REFUSED_AFTER(1, "More body than was said is a bad request of its own", 501,
                  POST LENGTH "4" END END "hello / HTTP/1.1"),
    REFUSED_AFTER(1, "A bad request behind chunks is refused, and the chunks are not", 400,
                  SENT "5\r\nhello\r\n" LAST "\0"),
    PASSES_AS(1, "A hidden request behind a close is never read",
              POST "Connection: close" END LENGTH "0" END END HIDDEN END END,
              POST "Connection: close" END LENGTH "0" END END),
};

int main(void)
{
    return RUN_CASES(cases);
}
