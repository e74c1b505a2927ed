//! Decoding recorded responses without a request: for benchmarks and tools. Must never do I/O.

use arrow::array::RecordBatch;
use owlet_connector::ConnectorError;

use crate::decode::{DecodedColumn, ItemDecoder, Rejection, decode_page};
use crate::infer::InferenceReport;
use crate::options::OnTypeMismatch;

/// Decodes whole response bodies of Scan, Query, GetItem or BatchGetItem of one table into batches of its columns,
/// by the same code that reads them from the service.
#[derive(Debug)]
pub struct PageDecoder {
    decoder: ItemDecoder,
}

impl PageDecoder {
    /// For all attributes of an inferred table: keys first, then by name, with the types in force. A value that
    /// does not fit its column is an error.
    pub fn new(report: &InferenceReport) -> Self {
        let columns: Vec<DecodedColumn> = report
            .attributes
            .iter()
            .map(|attribute| DecodedColumn {
                attribute: Some(attribute.attribute.clone()),
                name: attribute.column.clone(),
                shape: attribute.shape.clone(),
                nullable: !attribute.key,
            })
            .collect();
        let keys = report
            .attributes
            .iter()
            .filter(|attribute| attribute.key)
            .map(|attribute| attribute.attribute.clone())
            .collect();
        let outputs = (0..columns.len()).collect();
        Self {
            decoder: ItemDecoder::new(&report.table, keys, columns, outputs, OnTypeMismatch::Error),
        }
    }

    /// The items of one response body, one row each.
    ///
    /// # Errors
    /// When the body is no response, or a value does not fit its column; the decoder can be used again.
    pub fn decode(&mut self, body: &[u8]) -> Result<RecordBatch, ConnectorError> {
        if let Err(rejection) = decode_page(body, &mut self.decoder) {
            self.decoder.reset();
            return Err(match rejection {
                Rejection::Failed(error) => error,
                Rejection::Damaged(message) => {
                    ConnectorError::Internal(format!("the response is damaged: {message}"))
                }
            });
        }
        self.decoder.finish()
    }
}
